//! Topics of MQTT and the filters that match them (MQTT 5.0, 4.7): levels are parted by `/`, `+` is any one level, and a last `#` any
//! number of further ones. Nothing here allocates: a source asks for each message that comes in.

/// Bytes that a topic or a filter may have: its length is sent in two of them.
const BYTES_MAX: usize = 65_535;

/// What a shared subscription begins with: `$share/GROUP/FILTER`.
const SHARE: &str = "$share/";

/// Why a text is no topic, or no filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTopic {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It has more than 65535 bytes.
    #[error("it is longer than 65535 bytes")]
    TooLong,
    /// The character U+0000 is not allowed.
    #[error("it has a zero character in it")]
    Zero,
    /// A topic to publish to names one place.
    #[error("`+` and `#` are for filters only")]
    Wildcard,
    /// A `+` that shares its level with something.
    #[error("`+` stands for a whole level, as in `home/+/temperature`")]
    PartOfLevel,
    /// A `#` that shares its level, or is not in the last one.
    #[error("`#` stands for all further levels, so it must be the last one, as in `home/#`")]
    NotLast,
    /// A shared subscription without a group or without a filter.
    #[error("a shared subscription is written `$share/GROUP/FILTER`")]
    Share,
}

/// Checks a topic that is published to.
///
/// # Errors
/// It is empty, too long, or has wildcards.
pub fn check_topic(topic: &str) -> Result<(), BadTopic> {
    check_text(topic)?;
    if topic.contains(['+', '#']) {
        return Err(BadTopic::Wildcard);
    }
    Ok(())
}

/// Checks a filter that is subscribed to; it may begin with `$share/GROUP/`.
///
/// # Errors
/// It is empty or too long, or a wildcard stands where none may.
pub fn check_filter(filter: &str) -> Result<(), BadTopic> {
    check_text(filter)?;
    let filter = match filter.strip_prefix(SHARE) {
        Some(rest) => match rest.split_once('/') {
            Some((group, filter))
                if !group.is_empty() && !group.contains(['+', '#']) && !filter.is_empty() =>
            {
                filter
            }
            _ => return Err(BadTopic::Share),
        },
        None => filter,
    };
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(BadTopic::NotLast);
        }
        if level.contains('+') && level != "+" {
            return Err(BadTopic::PartOfLevel);
        }
    }
    Ok(())
}

fn check_text(text: &str) -> Result<(), BadTopic> {
    if text.is_empty() {
        return Err(BadTopic::Empty);
    }
    if text.len() > BYTES_MAX {
        return Err(BadTopic::TooLong);
    }
    if text.contains('\0') {
        return Err(BadTopic::Zero);
    }
    Ok(())
}

/// The filter that a subscription matches by: without `$share/GROUP/`.
#[must_use]
pub fn without_share(filter: &str) -> &str {
    let shared = filter.strip_prefix(SHARE).and_then(|rest| rest.split_once('/'));
    shared.map_or(filter, |(_, filter)| filter)
}

/// Whether a message on a topic goes to those who subscribed to a filter. A filter that begins with a wildcard has no part in topics
/// that begin with `$`, such as the broker's own `$SYS`.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    // A topic is a filter without wildcards.
    overlaps_unshared(without_share(filter), topic)
}

/// Whether some topic matches both filters. A text with `+` for each part that is not known yet stands for what a sink publishes to.
#[must_use]
pub fn overlaps(one: &str, other: &str) -> bool {
    overlaps_unshared(without_share(one), without_share(other))
}

fn overlaps_unshared(one: &str, other: &str) -> bool {
    let hidden = |one: &str, other: &str| one.starts_with(['+', '#']) && other.starts_with('$');
    if hidden(one, other) || hidden(other, one) {
        return false;
    }
    let (mut ones, mut others) = (one.split('/'), other.split('/'));
    loop {
        match (ones.next(), others.next()) {
            // What ends with `/#` also matches the level above.
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == "+" || b == "+" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[test]
    fn the_examples_of_the_standard() {
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("#", "sport/tennis", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/broker/uptime", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/broker/uptime", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("sport", "Sport", false),
            ("$share/readers/sport/+", "sport/tennis", true),
            ("$share/readers/#", "$SYS/broker", false),
            ("sport/#", "sportive", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} on {topic}");
        }
    }

    #[test]
    fn what_is_no_topic_or_no_filter_says_why() {
        let long = "a".repeat(65_536);
        for (filter, expected) in [
            ("home/+/temperature", Ok(())),
            ("#", Ok(())),
            ("/", Ok(())),
            ("a//b", Ok(())),
            ("$share/readers/#", Ok(())),
            ("", Err(BadTopic::Empty)),
            (&long, Err(BadTopic::TooLong)),
            ("a\0b", Err(BadTopic::Zero)),
            ("home/#/temperature", Err(BadTopic::NotLast)),
            ("home#", Err(BadTopic::NotLast)),
            ("home/a+/x", Err(BadTopic::PartOfLevel)),
            ("$share/readers", Err(BadTopic::Share)),
            ("$share/readers/", Err(BadTopic::Share)),
            ("$share//a", Err(BadTopic::Share)),
            ("$share/+/a", Err(BadTopic::Share)),
        ] {
            assert_eq!(check_filter(filter), expected, "{filter:.20}");
        }
        assert_eq!(check_topic("home/kitchen"), Ok(()));
        assert_eq!(check_topic("home/+"), Err(BadTopic::Wildcard));
        assert_eq!(check_topic("#"), Err(BadTopic::Wildcard));
        assert_eq!(check_topic(""), Err(BadTopic::Empty));
        assert_eq!(check_topic(&long), Err(BadTopic::TooLong));
    }

    const NAMES: [&str; 4] = ["a", "b", "$a", ""];
    const LEVELS_MAX: usize = 4;

    /// Every topic of up to four of these names. The empty one is among them, though nobody can send it: that it is all that two
    /// filters such as `+` and `/#` have in common is not worth a rule.
    fn topics() -> Vec<Vec<&'static str>> {
        let mut all: Vec<Vec<&str>> = vec![Vec::new()];
        let mut from = 0;
        for _ in 0..LEVELS_MAX {
            let until = all.len();
            for begin in from..until {
                let begin = all[begin].clone();
                all.extend(NAMES.map(|name| [&begin[..], &[name]].concat()));
            }
            from = until;
        }
        all.retain(|topic| !topic.is_empty());
        all
    }

    /// The standard's rules, a sentence each.
    fn reference(filter: &[&str], topic: &[&str]) -> bool {
        fn levels(filter: &[&str], topic: &[&str]) -> bool {
            match (filter, topic) {
                (["#"], _) => true,
                ([], []) => true,
                ([first, filter @ ..], [level, topic @ ..]) => {
                    (*first == "+" || first == level) && levels(filter, topic)
                }
                _ => false,
            }
        }
        let wild = matches!(filter[0], "+" | "#");
        !(wild && topic[0].starts_with('$')) && levels(filter, topic)
    }

    fn filters() -> impl Strategy<Value = Vec<&'static str>> {
        let level = select(vec!["a", "b", "$a", "", "+", "+"]);
        (vec(level, 0..LEVELS_MAX), any::<bool>())
            .prop_map(|(mut levels, all_below)| {
                levels.extend(all_below.then_some("#"));
                levels
            })
            .prop_filter("an empty text is no filter", |levels| !levels.join("/").is_empty())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn filters_match_and_overlap_as_trying_every_topic_says(one in filters(), other in filters()) {
            let (a, b) = (one.join("/"), other.join("/"));
            prop_assert_eq!(check_filter(&a), Ok(()));
            let mut both = false;
            for topic in topics() {
                let (of_a, of_b) = (reference(&one, &topic), reference(&other, &topic));
                prop_assert_eq!(matches(&a, &topic.join("/")), of_a, "{} on {:?}", &a, topic);
                both |= of_a && of_b;
            }
            prop_assert_eq!(overlaps(&a, &b), both, "{} and {}", &a, &b);
            prop_assert_eq!(overlaps(&b, &format!("$share/g/{a}")), both, "{} and {}", &b, &a);
        }
    }
}
