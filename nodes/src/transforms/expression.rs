//! Arithmetic that users write: `(indoor - outdoor) / 2`. What `combine` and `join` share.

use std::fmt;

use smollama_engine::diagnostic::{all_of, nearest};

/// No expression is longer, in bytes.
const LENGTH_MAX: usize = 1_000;
/// No brackets lie deeper.
const DEPTH_MAX: usize = 32;

/// The functions there are, with the least and the largest number of arguments.
const FUNCTIONS: [(&str, Call, usize, usize); 8] = [
    ("abs", Call::Abs, 1, 1),
    ("exp", Call::Exp, 1, 1),
    ("ln", Call::Ln, 1, 1),
    ("max", Call::Max, 1, usize::MAX),
    ("min", Call::Min, 1, usize::MAX),
    ("pow", Call::Pow, 2, 2),
    ("round", Call::Round, 1, 1),
    ("sqrt", Call::Sqrt, 1, 1),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Abs,
    Exp,
    Ln,
    Max,
    Min,
    Pow,
    Round,
    Sqrt,
}

/// A step of the calculation. Each takes what it needs from the top of a stack, and puts its result there.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Number(f64),
    Name(usize),
    Negate,
    Add,
    Subtract,
    Multiply,
    Divide,
    Call(Call, usize),
}

/// An expression over numbers with names, ready to be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expression {
    /// In the order in which they are done.
    steps: Vec<Step>,
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// At which character, counted from 1.
    pub(super) at: usize,
    /// What is wrong.
    pub(super) message: String,
    /// How to mend it, where that is known.
    pub(super) help: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at character {})", self.message, self.at)
    }
}

/// Whether a text can be a name in an expression.
pub(super) fn is_name(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    first && rest && !FUNCTIONS.iter().any(|(name, ..)| *name == text)
}

impl Expression {
    /// Reads `+ - * /`, brackets, numbers, functions and the names given.
    ///
    /// # Errors
    /// It is no expression, or knows a name that is not given.
    pub(super) fn parse(text: &str, names: &[&str]) -> Result<Expression, Fault> {
        let mut parser = Parser { text, at: 0, names, depth: 0, steps: Vec::new() };
        if text.len() > LENGTH_MAX {
            let message = format!("the expression is longer than {LENGTH_MAX} bytes");
            return Err(parser.fault(0, message, None));
        }
        parser.sum()?;
        match parser.peek() {
            None => Ok(Expression { steps: parser.steps }),
            Some(found) => {
                let message = format!("`{found}` where an operator or the end was expected");
                Err(parser.fault(parser.at, message, Some("the operators are + - * /".into())))
            }
        }
    }

    /// Whether a name, by its place in the list, is in it.
    pub(super) fn uses(&self, name: usize) -> bool {
        self.steps.contains(&Step::Name(name))
    }

    /// What it is for these numbers, in the order of the names; NaN or an infinity where it is no number. `stack` is used again.
    #[inline]
    pub(super) fn evaluate(&self, numbers: &[f64], stack: &mut Vec<f64>) -> f64 {
        stack.clear();
        for step in &self.steps {
            let result = match *step {
                Step::Number(number) => number,
                Step::Name(name) => numbers.get(name).copied().unwrap_or(f64::NAN),
                Step::Negate => -pop(stack),
                Step::Call(call, arguments) => called(call, arguments, stack),
                Step::Add | Step::Subtract | Step::Multiply | Step::Divide => {
                    let right = pop(stack);
                    let left = pop(stack);
                    match *step {
                        Step::Add => left + right,
                        Step::Subtract => left - right,
                        Step::Multiply => left * right,
                        _ => left / right,
                    }
                }
            };
            stack.push(result);
        }
        pop(stack)
    }
}

/// The parser leaves on the stack what each step needs.
#[inline]
fn pop(stack: &mut Vec<f64>) -> f64 {
    stack.pop().unwrap_or(f64::NAN)
}

fn called(call: Call, arguments: usize, stack: &mut Vec<f64>) -> f64 {
    let last = pop(stack);
    match call {
        Call::Abs => last.abs(),
        Call::Exp => last.exp(),
        Call::Ln => last.ln(),
        Call::Pow => pop(stack).powf(last),
        Call::Round => last.round(),
        Call::Sqrt => last.sqrt(),
        Call::Max => (1..arguments).fold(last, |most, _| most.max(pop(stack))),
        Call::Min => (1..arguments).fold(last, |least, _| least.min(pop(stack))),
    }
}

struct Parser<'a> {
    text: &'a str,
    /// The byte that comes next.
    at: usize,
    names: &'a [&'a str],
    depth: usize,
    steps: Vec<Step>,
}

impl Parser<'_> {
    fn fault(&self, at: usize, message: impl Into<String>, help: Option<String>) -> Fault {
        let before = self.text.get(..at).unwrap_or(self.text);
        Fault { at: before.chars().count() + 1, message: message.into(), help }
    }

    /// The next character that is no blank, which is not taken.
    fn peek(&mut self) -> Option<char> {
        let rest = self.text.get(self.at..)?;
        self.at += rest.len() - rest.trim_start().len();
        self.text.get(self.at..)?.chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.at += wanted.len_utf8();
        }
        there
    }

    /// Terms with `+` and `-` between them.
    fn sum(&mut self) -> Result<(), Fault> {
        self.product()?;
        loop {
            let step = match self.peek() {
                Some('+') => Step::Add,
                Some('-') => Step::Subtract,
                _ => return Ok(()),
            };
            self.at += 1;
            self.product()?;
            self.steps.push(step);
        }
    }

    /// Factors with `*` and `/` between them.
    fn product(&mut self) -> Result<(), Fault> {
        self.factor()?;
        loop {
            let step = match self.peek() {
                Some('*') => Step::Multiply,
                Some('/') => Step::Divide,
                _ => return Ok(()),
            };
            self.at += 1;
            self.factor()?;
            self.steps.push(step);
        }
    }

    fn factor(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let message = format!("brackets and signs lie deeper than {DEPTH_MAX}");
            return Err(self.fault(self.at, message, None));
        }
        let factor = match self.peek() {
            Some('-') => {
                self.at += 1;
                self.factor()?;
                self.steps.push(Step::Negate);
                Ok(())
            }
            Some('(') => {
                let open = self.at;
                self.at += 1;
                self.sum()?;
                self.closed(open)
            }
            Some(first) if first.is_ascii_digit() || first == '.' => self.number(),
            Some(first) if first.is_ascii_alphabetic() || first == '_' => self.word(),
            Some(other) => {
                let message = format!("`{other}` where a number or a name was expected");
                Err(self.fault(self.at, message, None))
            }
            None => {
                let message = "it ends where a number or a name was expected";
                Err(self.fault(self.at, message, None))
            }
        };
        self.depth -= 1;
        factor
    }

    fn closed(&mut self, open: usize) -> Result<(), Fault> {
        if self.take(')') {
            return Ok(());
        }
        Err(self.fault(open, "this bracket is not closed", Some("write `)` behind it".into())))
    }

    /// The bytes from here on that are all of a kind.
    fn run(&mut self, of: impl Fn(u8) -> bool) -> &str {
        let from = self.at;
        let rest = self.text.as_bytes().get(from..).unwrap_or_default();
        self.at += rest.iter().take_while(|byte| of(**byte)).count();
        self.text.get(from..self.at).unwrap_or_default()
    }

    fn number(&mut self) -> Result<(), Fault> {
        let from = self.at;
        self.run(|byte| byte.is_ascii_digit() || byte == b'.');
        if self.text.as_bytes().get(self.at).is_some_and(|byte| matches!(byte, b'e' | b'E')) {
            let signed = self.text.as_bytes().get(self.at + 1);
            self.at += 1 + usize::from(signed.is_some_and(|byte| matches!(byte, b'+' | b'-')));
            self.run(|byte| byte.is_ascii_digit());
        }
        let text = self.text.get(from..self.at).unwrap_or_default();
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => {
                self.steps.push(Step::Number(number));
                Ok(())
            }
            _ => Err(self.fault(from, format!("`{text}` is no number"), None)),
        }
    }

    fn word(&mut self) -> Result<(), Fault> {
        let from = self.at;
        let word = self.run(|byte| byte.is_ascii_alphanumeric() || byte == b'_').to_owned();
        if self.peek() == Some('(') {
            return self.call(from, &word);
        }
        if let Some(name) = self.names.iter().position(|name| *name == word) {
            self.steps.push(Step::Name(name));
            return Ok(());
        }
        let help = match nearest(&word, self.names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the names are {}", all_of(self.names.iter().copied())),
        };
        Err(self.fault(from, format!("there is no name `{word}`"), Some(help)))
    }

    fn call(&mut self, from: usize, word: &str) -> Result<(), Fault> {
        let known = FUNCTIONS.iter().find(|(name, ..)| *name == word);
        let Some((_, call, least, most)) = known else {
            let all = || FUNCTIONS.iter().map(|(name, ..)| *name);
            let help = match nearest(word, all()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the functions are {}", all_of(all())),
            };
            return Err(self.fault(from, format!("there is no function `{word}`"), Some(help)));
        };
        let open = self.at;
        self.at += 1;
        self.sum()?;
        let mut arguments = 1;
        while self.take(',') {
            self.sum()?;
            arguments += 1;
        }
        self.closed(open)?;
        if !(*least..=*most).contains(&arguments) {
            let message = format!("`{word}` takes {least}, and there are {arguments}");
            return Err(self.fault(from, message, None));
        }
        self.steps.push(Step::Call(*call, arguments));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(text: &str) -> f64 {
        let expression = Expression::parse(text, &["a", "b"]).unwrap();
        let mut stack = Vec::new();
        let value = expression.evaluate(&[6.0, 4.0], &mut stack);
        assert!(stack.is_empty(), "{text}");
        value
    }

    #[test]
    fn it_is_calculated_as_at_school() {
        for (text, expected) in [
            ("1 + 2 * 3", 7.0),
            ("(1+2)*3", 9.0),
            ("a - b - 1", 1.0),
            ("a / b / 2", 0.75),
            ("-a + b", -2.0),
            ("2 * -b", -8.0),
            ("--b", 4.0),
            ("1.5e1 + .5 - 5E-1", 15.0),
            ("max(a, b, 9) - min(b)", 5.0),
            ("abs(b - a) + sqrt(b) + pow(2, 3) + round(2.5)", 15.0),
            ("ln(exp(2))", 2.0),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
        assert!(value("a / (b - 4)").is_infinite() && value("sqrt(-a)").is_nan());
        let uses = |name| Expression::parse("a * 2", &["a", "b"]).unwrap().uses(name);
        assert!(uses(0) && !uses(1));
    }

    #[test]
    fn what_is_none_says_where_and_why() {
        for (text, at, message, help) in [
            ("", 1, "it ends", ""),
            ("a +", 4, "it ends", ""),
            ("a b", 3, "`b` where an operator", "+ - * /"),
            ("ä * 2", 1, "`ä` where a number", ""),
            ("2 * (ä", 6, "`ä` where a number", ""),
            ("(a + (b)", 1, "not closed", ")"),
            ("a * aa", 5, "no name `aa`", "`a` and `b`"),
            ("outdoor", 1, "no name", "the names are `a` and `b`"),
            ("sqr(a)", 1, "no function `sqr`", "did you mean `sqrt`?"),
            ("pow(a)", 1, "`pow` takes 2, and there are 1", ""),
            ("abs(a, b)", 1, "`abs` takes 1, and there are 2", ""),
            ("1.2.3", 1, "`1.2.3` is no number", ""),
            ("1e999", 1, "is no number", ""),
            ("a ^ 2", 3, "`^` where an operator", ""),
        ] {
            let fault = Expression::parse(text, &["a", "b"]).unwrap_err();
            assert_eq!(fault.at, at, "{text}: {fault}");
            assert!(fault.message.contains(message), "{text}: {fault}");
            assert!(fault.help.unwrap_or_default().contains(help), "{text}");
        }
        let near = Expression::parse("1 + outdor", &["outdoor"]).unwrap_err();
        assert_eq!(near.help.as_deref(), Some("did you mean `outdoor`?"));
        let deep = "(".repeat(1_000);
        assert!(Expression::parse(&deep, &[]).unwrap_err().message.contains("deeper"));
        let long = "1+".repeat(1_000);
        assert!(Expression::parse(&long, &[]).unwrap_err().message.contains("longer"));
    }

    #[test]
    fn functions_are_no_names() {
        assert!(is_name("t_1") && is_name("_a") && is_name("A"));
        assert!(!is_name("min") && !is_name("1a") && !is_name("a-b") && !is_name(""));
    }

    /// A tree, as text and as what it is.
    fn tree() -> impl Strategy<Value = (String, f64)> {
        let number = (-9i32..9).prop_map(|n| (format!("{n}"), f64::from(n)));
        let leaf = prop_oneof![number, Just(("a".into(), 6.0)), Just(("b".into(), 4.0))];
        leaf.prop_recursive(6, 40, 2, |inner| {
            (inner.clone(), inner, 0u8..4).prop_map(|((left, x), (right, y), which)| {
                let (sign, value) = match which {
                    0 => ('+', x + y),
                    1 => ('-', x - y),
                    2 => ('*', x * y),
                    _ => ('/', x / y),
                };
                (format!("({left}{sign} {right})"), value)
            })
        })
    }

    proptest! {
        #[test]
        fn a_tree_is_what_its_parts_make((text, expected) in tree()) {
            let found = value(&text);
            prop_assert!(found == expected || found.is_nan() && expected.is_nan(), "{found} {expected}");
        }

        #[test]
        fn nothing_panics(text in "[ab0-9.e+*/(),_ minäx-]{0,40}") {
            let _ = Expression::parse(&text, &["a", "b"]);
        }
    }
}
