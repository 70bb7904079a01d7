//! `history`: the revisions that were applied.

use std::process::ExitCode;

use smollama_engine::control::RevisionRow;

use super::at_rest;
use crate::cli::Global;
use crate::client::{self, Call};
use crate::terminal::{self, Failure};
use crate::text::{Cell, Column, Table, Tone};

pub(crate) fn history(global: &Global) -> Result<ExitCode, Failure> {
    let asked = client::ask_if_running(global, async |call| Ok(call.engine.history().await?));
    let revisions = match asked? {
        Some(revisions) => revisions,
        None => match at_rest::kept(global, "revisions")? {
            Some(kept) => kept.history()?,
            None => Vec::new(),
        },
    };
    if global.json {
        return super::print_json(&revisions);
    }
    if revisions.is_empty() {
        terminal::say("Nothing was applied yet. Begin with: smollama apply pipelines/");
        return Ok(ExitCode::SUCCESS);
    }
    client::ask(global, async |call| terminal::print(&table(&revisions, call)))?;
    if revisions.len() > 1 {
        terminal::say("`smollama rollback REVISION` goes back to one.");
    }
    Ok(ExitCode::SUCCESS)
}

fn table(revisions: &[RevisionRow], call: &Call<'_>) -> String {
    let columns = [
        Column::text(""),
        Column::number("REVISION"),
        Column::text("WHEN").rank(1),
        Column::text("WHO").rank(2),
        Column::text("WHAT"),
    ];
    let mut table = Table::new(&columns);
    for one in revisions {
        let tone = if one.current { Tone::Strong } else { Tone::Plain };
        table.row(vec![
            Cell::toned(if one.current { "*" } else { "" }, tone),
            Cell::toned(one.number.to_string(), tone),
            call.when(one.time).into(),
            one.actor.as_str().into(),
            one.message.as_str().into(),
        ]);
    }
    table.render(call.width, call.paint)
}

#[cfg(test)]
mod tests {
    use crate::commands::stand_in::StandIn;

    use super::*;

    #[test]
    fn the_one_that_runs_is_marked() {
        let engine = StandIn::default();
        let row = |number, message: &str, current| RevisionRow {
            number,
            time: "2026-11-21T06:24:30.5Z".parse().unwrap(),
            actor: "uid 1000".into(),
            message: message.into(),
            current,
        };
        let rows = [row(12, "home: 1 changed", true), row(9, "home: 4 added\x1b[2J", false)];
        let wanted = "   REVISION  WHEN                 WHO       WHAT
*        12  2026-11-21 06:24:30  uid 1000  home: 1 changed
          9  2026-11-21 06:24:30  uid 1000  home: 4 added\\u{1b}[2J
";
        assert_eq!(table(&rows, &engine.call()), wanted);
    }
}
