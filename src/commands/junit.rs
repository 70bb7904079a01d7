//! Results of tests as JUnit XML, in the form that CI systems read.

use std::fmt::Write;

use super::test::Report;

/// The whole file: a suite for each pipeline that has tests, in the order they ran.
pub(super) fn junit(reports: &[Report]) -> String {
    let failed = |reports: &[Report]| reports.iter().filter(|one| !one.passed()).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a `String` cannot fail.
    let _ = writeln!(
        text,
        "<testsuites name=\"smollama\" tests=\"{}\" failures=\"{}\" errors=\"0\">",
        reports.len(),
        failed(reports)
    );
    for suite in reports.chunk_by(|one, other| one.pipeline == other.pipeline) {
        let Some(first) = suite.first() else { continue };
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" file=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\">",
            escaped(&first.pipeline),
            escaped(&first.file),
            suite.len(),
            failed(suite)
        );
        suite.iter().for_each(|report| case(report, &mut text));
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn case(report: &Report, text: &mut String) {
    let _ = write!(
        text,
        "    <testcase name=\"{}\" classname=\"{}\" file=\"{}\" line=\"{}\"",
        escaped(&report.name),
        escaped(&report.pipeline),
        escaped(&report.file),
        report.line
    );
    if report.passed() {
        text.push_str("/>\n");
        return;
    }
    text.push_str(">\n");
    for failure in &report.failures {
        let mut detail = format!("{}:{}: {}", failure.file, failure.line, failure.message);
        failure.seen.iter().for_each(|seen| detail.extend(["\n  ", seen]));
        let _ = writeln!(
            text,
            "      <failure message=\"{}\">{}</failure>",
            escaped(&failure.message),
            escaped(&detail)
        );
    }
    text.push_str("    </testcase>\n");
}

/// Text that stands between tags as well as in an attribute. Characters that XML 1.0 cannot hold become U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
