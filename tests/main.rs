//! Tests of the whole: what bad input gets, shipped pipelines, commands, the shape of the source tree, the generated reference, and
//! the schemas. `cfg(test)` says to the lints that small functions of a module are tests, too.

#[cfg(test)]
mod api;
#[cfg(test)]
mod backtest;
mod bad_input;
#[cfg(test)]
mod caps;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod config_command;
#[cfg(test)]
mod control;
#[cfg(test)]
mod doctor_command;
#[cfg(test)]
mod edge;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod home_assistant;
#[cfg(test)]
mod http;
#[cfg(test)]
mod import_command;
#[cfg(test)]
mod init_command;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod mosquitto;
#[cfg(test)]
mod mqtt;
#[cfg(test)]
mod mqtt_command;
mod pipelines;
#[cfg(test)]
mod place;
#[cfg(test)]
mod project;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod systemd;
#[cfg(test)]
mod test_command;
#[cfg(test)]
mod thirty_days;
#[cfg(test)]
mod tidy;
