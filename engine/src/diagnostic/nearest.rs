//! Words for messages: the nearest name, and quoting of what strangers wrote.

/// Characters of a stranger's text that a message repeats at most.
const SHOWN_CHARS_MAX: usize = 60;

/// The candidate that `word` was probably meant to be, if one is near enough to be worth naming.
///
/// Near is: at most a third of the letters changed (Damerau-Levenshtein, so that a swap counts once), or the same
/// word but for case, `-` and `_`. The first of equally near candidates wins.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > SHOWN_CHARS_MAX {
        return None;
    }
    let folded = fold(word);
    let allowed = (folded.chars().count().max(3)) / 3;
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&folded, &fold(candidate)), candidate))
        .filter(|&(distance, candidate)| {
            distance <= allowed && distance < candidate.chars().count() && candidate != word
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

fn fold(word: &str) -> String {
    word.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// What a stranger wrote, cut to a length that fits a message.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => text.to_owned(),
        Some((cut, _)) => format!("{}…", &text[..cut]),
    }
}

/// [`shortened`], in backticks.
pub fn quoted(text: &str) -> String {
    format!("`{}`", shortened(text))
}

/// "`a`", "`a` or `b`", "`a`, `b` or `c`"; cut after a dozen.
pub fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    enumerate(names, "or")
}

/// "`a`", "`a` and `b`", "`a`, `b` and `c`"; cut after a dozen.
pub fn all_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    enumerate(names, "and")
}

fn enumerate<'a>(names: impl IntoIterator<Item = &'a str>, joint: &str) -> String {
    const NAMES_MAX: usize = 12;
    let mut names: Vec<String> = names.into_iter().map(quoted).collect();
    if names.len() > NAMES_MAX {
        let rest = names.len() - NAMES_MAX;
        names.truncate(NAMES_MAX);
        names.push(format!("{rest} more"));
    }
    match names.pop() {
        None => "nothing".to_owned(),
        Some(last) if names.is_empty() => last,
        Some(last) => format!("{} {joint} {last}", names.join(", ")),
    }
}
