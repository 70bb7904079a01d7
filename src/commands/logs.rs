//! `logs` and `log-level`: what the engine says, and how much.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use futures::StreamExt;
use smollama_engine::control::{Level, LevelRequest, LogLine, LogRequest};

use crate::cli::look;
use crate::client::Call;
use crate::signals::Signals;
use crate::terminal::{self, Failure};
use crate::text::{Tone, plain};

pub(crate) async fn logs(call: &Call<'_>, args: &look::Logs) -> Result<ExitCode, Failure> {
    let request = LogRequest {
        node: args.node.clone(),
        level: args.level.map(Level::from),
        follow: args.follow,
        last: args.last,
    };
    let mut lines = call.engine.logs(request).await?;
    let mut signals = Signals::new()?;
    let mut missed = 0;
    loop {
        let chunk = tokio::select! {
            chunk = lines.next() => chunk,
            _ = signals.next() => break,
        };
        let Some(chunk) = chunk else {
            if args.follow {
                return Err(Failure::Failed("the engine has stopped".into()));
            }
            break;
        };
        missed += chunk.missed;
        match call.json {
            true => terminal::print_bytes(&chunk.lines)?,
            false => terminal::print(&readable(&chunk.lines, call))?,
        }
    }
    if missed > 0 {
        terminal::say(&format!("{missed} lines were missed: there were too many to show."));
    }
    if io::stdout().is_terminal() && !args.follow {
        terminal::say("`smollama logs -f` goes on, `smollama log-level` says more.");
    }
    Ok(ExitCode::SUCCESS)
}

fn readable(lines: &[u8], call: &Call<'_>) -> String {
    let lines = String::from_utf8_lossy(lines);
    let shown = lines.lines().map(|line| match serde_json::from_str::<LogLine>(line) {
        Ok(line) => text(&line, call),
        Err(_) => format!("{}\n", plain(line)),
    });
    shown.collect()
}

fn text(line: &LogLine, call: &Call<'_>) -> String {
    let LogLine { time, level, node, message, fields } = line;
    let part = time.as_micros().rem_euclid(1_000_000) / 1000;
    let when = call.paint.faint(&format!("{}.{part:03}", call.when(*time)));
    let level = call.paint.tone(tone(*level), &format!("{:5}", level.as_str()));
    let mut out = format!("{when}  {level}");
    if let Some(node) = node {
        out += &format!("  {}", call.paint.strong(&plain(node)));
    }
    out += &format!("  {}", plain(message));
    for (name, value) in fields {
        let value = match value.as_str() {
            Some(text) => plain(text).into_owned(),
            None => plain(&value.to_string()).into_owned(),
        };
        out += &call.paint.faint(&format!("  {}={value}", plain(name)));
    }
    out + "\n"
}

fn tone(level: Level) -> Tone {
    match level {
        Level::Error => Tone::Bad,
        Level::Warn => Tone::Doubtful,
        Level::Info => Tone::Good,
        Level::Debug | Level::Trace => Tone::Faint,
    }
}

pub(crate) async fn set_level(call: &Call<'_>, args: &look::LogLevel) -> Result<ExitCode, Failure> {
    let request =
        LevelRequest { node: args.node.clone(), level: args.level.into(), span: args.span };
    let reply = call.engine.set_level(request, "").await?;
    if call.json {
        return super::print_json(&reply);
    }
    let until = match reply.until {
        Some(until) => format!("until {}", call.when(until)),
        None => "until it is restarted".into(),
    };
    let (who, what) = match &args.node {
        Some(node) => (format!("`{node}`"), format!("smollama logs -f {node}")),
        None => ("The engine".into(), "smollama logs -f".into()),
    };
    terminal::print(&format!("{who} logs at level {} {until}.\n", reply.level.as_str()))?;
    terminal::say(&format!("`{what}` shows it."));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::stand_in::StandIn;

    #[test]
    fn a_line_says_when_how_bad_who_and_what() {
        let engine = StandIn::default();
        let lines = r#"{"time":"2026-11-21T06:24:30.123456Z","level":"warn","node":"home/alerts","message":"cannot send","fields":{"error":"refused\u001b[31m","tries":3}}
{"time":"2026-11-21T06:24:31Z","level":"info","message":"revision 2 runs"}
no JSON
"#;
        let wanted = "2026-11-21 06:24:30.123  warn   home/alerts  cannot send  error=refused\\u{1b}[31m  tries=3
2026-11-21 06:24:31.000  info   revision 2 runs
no JSON
";
        assert_eq!(readable(lines.as_bytes(), &engine.call()), wanted);
    }
}
