//! Checks an expression and readies it: names become slots, literals become values.
//!
//! The library's parser and evaluator recurse, so the text is measured before they see it. After
//! that the tree is walked once, and whatever is not on one of the lists here is refused: a typing
//! mistake is told to the operator who makes it, and not to the log at the next event.

use cel::{
    common::{
        ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators},
        value::Val,
    },
    parser::Parser,
};
use exeunt_types::EventKind;
use regex::RegexBuilder;

use super::{
    FILTER_BRACKETS_MAX, FILTER_BYTES_MAX, FILTER_OPERATORS_MAX, FILTER_PATTERN_BYTES_MAX,
    FILTER_PATTERNS_MAX, FILTER_SUMS_MAX, FilterError,
    kinds::{self, Kind},
    one_line,
    values::{self, Duration, EventField, Map, Pattern, Slot, Timestamp},
};

/// Operators that an expression may use.
const OPERATORS: &[&str] = &[
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::IN,
    operators::INDEX,
    operators::ADD,
    operators::SUBSTRACT,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::NEGATE,
];

/// Functions that an expression may call: name, whether on a value, and with how many arguments.
const FUNCTIONS: &[(&str, bool, usize)] = &[
    ("size", false, 1),
    ("size", true, 0),
    ("contains", true, 1),
    ("startsWith", true, 1),
    ("endsWith", true, 1),
    ("lowerAscii", true, 0),
    ("upperAscii", true, 0),
    ("int", false, 1),
    ("string", false, 1),
];

/// An expression with all that it needs.
pub(super) struct Checked {
    pub(super) text: String,
    pub(super) expression: IdedExpr,
    pub(super) slots: Vec<Slot>,
}

pub(super) fn checked(text: &str) -> Result<Checked, FilterError> {
    measure(text)?;
    if text.trim().is_empty() {
        return Err(FilterError::Syntax("the expression is empty".to_owned()));
    }
    let nesting = u16::try_from(FILTER_BRACKETS_MAX + FILTER_OPERATORS_MAX).unwrap_or(u16::MAX);
    let mut expression =
        Parser::new().max_recursion_depth(nesting).parse(text).map_err(|errors| {
            let first = errors.errors.first();
            let place = first.map(|it| format!(" (line {}, character {})", it.pos.0, it.pos.1));
            let what = first.map_or("it is no expression", |it| in_words(it.msg.as_str()));
            FilterError::Syntax(one_line(&format!("{what}{}", place.unwrap_or_default())))
        })?;
    let mut walk = Walk { slots: Vec::new(), sums: 0, patterns: 0 };
    walk.expression(&mut expression)?;
    at_most("sums", walk.sums, FILTER_SUMS_MAX)?;
    Ok(Checked { text: text.to_owned(), expression, slots: walk.slots })
}

/// What the parser says, in the words of an operator where it is one of the usual mistakes.
fn in_words(said: &str) -> &str {
    if said.contains("token recognition error at: '=") {
        "equality is written =="
    } else if said.contains("'<EOF>'") && said.contains("input '<EOF>'") {
        "the expression ends too early"
    } else {
        said
    }
}

/// Bounds the depth of the tree by what is in the text, before anybody recurses into it.
///
/// Literal texts and comments are counted as well: where they end is for the parser to say, and it
/// says it of faulty expressions too.
fn measure(text: &str) -> Result<(), FilterError> {
    at_most("length in bytes", text.len(), FILTER_BYTES_MAX)?;
    let brackets = text.chars().filter(|it| "([{".contains(*it)).count();
    at_most("brackets", brackets, FILTER_BRACKETS_MAX)?;
    let mut before = ' ';
    let mut operators = 0;
    for character in text.chars() {
        // The second half of ==, &&, <= and the like is not counted again.
        let is_second = "=&|".contains(character) && "=!<>&|".contains(before);
        if ".?:!=<>&|+-*/%".contains(character) && !is_second {
            operators += 1;
        }
        before = character;
    }
    // The one operator that is a word is counted wherever its letters are.
    operators += text.matches("in").count();
    at_most("operators and dots", operators, FILTER_OPERATORS_MAX)
}

fn at_most(what: &'static str, found: usize, allowed: usize) -> Result<(), FilterError> {
    if found <= allowed { Ok(()) } else { Err(FilterError::TooLarge { what, found, allowed }) }
}

struct Walk {
    slots: Vec<Slot>,
    sums: usize,
    patterns: usize,
}

impl Walk {
    fn expression(&mut self, node: &mut IdedExpr) -> Result<Kind, FilterError> {
        if let Some(slot) = slot_of(&node.expr)? {
            let kind = kinds::of_slot(&slot);
            node.expr = self.slot(slot);
            return Ok(kind);
        }
        match &mut node.expr {
            Expr::Literal(literal) => Ok(kinds::of_literal(literal)),
            Expr::List(list) => self.all(&mut list.elements).map(|_| Kind::List),
            Expr::Call(call) => {
                let (kind, replacement) = self.call(call)?;
                if let Some(replacement) = replacement {
                    node.expr = replacement;
                }
                Ok(kind)
            }
            Expr::Ident(name) => Err(bare_name(name)),
            Expr::Select(select) => Err(FilterError::NotAllowed(format!(
                "{}: only {} have members, by names that stand in the expression",
                select.field,
                variables()
            ))),
            Expr::Comprehension(_) => Err(FilterError::NotAllowed(
                "a filter cannot loop: all, exists, exists_one, map and filter are not for it"
                    .to_owned(),
            )),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                Err(FilterError::NotAllowed("a filter has no use for {…}".to_owned()))
            }
        }
    }

    fn all(&mut self, nodes: &mut [IdedExpr]) -> Result<Vec<Kind>, FilterError> {
        nodes.iter_mut().map(|it| self.expression(it)).collect()
    }

    /// What the call gives, and what has to stand in its place.
    fn call(&mut self, call: &mut CallExpr) -> Result<(Kind, Option<Expr>), FilterError> {
        let name = call.func_name.as_str();
        match (name, &mut call.target, call.args.as_mut_slice()) {
            ("matches", Some(text), [pattern]) => {
                let pattern = self.pattern(literal("matches", pattern)?)?;
                self.expression(text)?;
                let text = std::mem::take(text.as_mut());
                return Ok((Kind::Truth, Some(matches_call(text, pattern))));
            }
            ("matches", None, [text, pattern]) => {
                let pattern = self.pattern(literal("matches", pattern)?)?;
                self.expression(text)?;
                let text = std::mem::take(text);
                return Ok((Kind::Truth, Some(matches_call(text, pattern))));
            }
            ("timestamp", None, [at]) => {
                let text = literal("timestamp", at)?;
                let at = text
                    .parse()
                    .map_err(|_| wrong_literal(text, "is no time like 2027-01-01T00:00:00Z"))?;
                let slot = self.slot(Slot::Constant(Box::new(Timestamp(at))));
                return Ok((Kind::Time, Some(slot)));
            }
            ("duration", None, [span]) => {
                let text = literal("duration", span)?;
                let span = text
                    .parse()
                    .map_err(|_| wrong_literal(text, "is no duration like 2160h or 1h30m"))?;
                let slot = self.slot(Slot::Constant(Box::new(Duration(span))));
                return Ok((Kind::Duration, Some(slot)));
            }
            _ => (),
        }
        if call.target.is_none() && OPERATORS.contains(&name) {
            check_words(call)?;
            if name == operators::ADD {
                self.sums += 1;
            }
        } else {
            let of_value = call.target.is_some();
            if !FUNCTIONS.contains(&(name, of_value, call.args.len())) {
                return Err(unknown_function(name, of_value, call.args.len()));
            }
        }
        if let Some(target) = &mut call.target {
            self.expression(target)?;
        }
        let kind = match (name, call.args.as_mut_slice()) {
            (operators::IN, [one, IdedExpr { expr: Expr::List(list), .. }]) => {
                let of_one = self.expression(one)?;
                let entries = self.all(&mut list.elements)?;
                for (entry, of_entry) in list.elements.iter().zip(entries) {
                    kinds::check_equal((one, of_one), (entry, of_entry), &self.slots)?;
                }
                Kind::Truth
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
                let (of_left, of_right) = (self.expression(left)?, self.expression(right)?);
                kinds::check_equal((left, of_left), (right, of_right), &self.slots)?;
                Kind::Truth
            }
            (_, arguments) => kinds::of_call(name, &self.all(arguments)?),
        };
        Ok((kind, None))
    }

    fn slot(&mut self, slot: Slot) -> Expr {
        self.slots.push(slot);
        Expr::Ident(values::slot_name(self.slots.len() - 1))
    }

    fn pattern(&mut self, text: &str) -> Result<IdedExpr, FilterError> {
        self.patterns += 1;
        at_most("patterns", self.patterns, FILTER_PATTERNS_MAX)?;
        let pattern = RegexBuilder::new(text)
            .size_limit(FILTER_PATTERN_BYTES_MAX)
            .build()
            .map_err(|err| match err {
                regex::Error::CompiledTooBig(_) => wrong_literal(text, "is too large a pattern"),
                _ => wrong_literal(text, "is no regular expression"),
            })?;
        let expr = self.slot(Slot::Constant(Box::new(Pattern(pattern)) as Box<dyn Val>));
        Ok(IdedExpr { id: 0, expr })
    }
}

fn matches_call(text: IdedExpr, pattern: IdedExpr) -> Expr {
    let args = vec![text, pattern];
    Expr::Call(CallExpr { func_name: values::MATCHES.to_owned(), target: None, args })
}

/// What the expression reads, where it reads something of the event.
fn slot_of(expr: &Expr) -> Result<Option<Slot>, FilterError> {
    match expr {
        Expr::Select(select) => match &select.operand.expr {
            Expr::Ident(variable) => member(variable, &select.field, select.test).map(Some),
            Expr::Call(call) if !select.test => {
                let Some((variable, oid)) = indexed(call) else { return Ok(None) };
                let flag = match select.field.as_str() {
                    _ if variable != "extensions" => return Ok(None),
                    "critical" => Slot::Critical,
                    "disabled" => Slot::Disabled,
                    other => {
                        return Err(FilterError::UnknownName(format!(
                            "extensions['{oid}'].{other}: an extension has critical and disabled"
                        )));
                    }
                };
                Ok(Some(flag(oid.to_owned())))
            }
            _ => Ok(None),
        },
        Expr::Call(call) => {
            if let Some((variable, name)) = indexed(call) {
                return member(variable, name, false).map(Some);
            }
            match (call.func_name.as_str(), call.args.as_slice()) {
                (operators::IN, [name, variable]) => match (text_of(name), &variable.expr) {
                    (Some(name), Expr::Ident(variable)) => member(variable, name, true).map(Some),
                    _ => Ok(None),
                },
                _ => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// `variable['name']`.
fn indexed(call: &CallExpr) -> Option<(&str, &str)> {
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::INDEX, [IdedExpr { expr: Expr::Ident(variable), .. }, name]) => {
            Some((variable, text_of(name)?))
        }
        _ => None,
    }
}

fn text_of(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

/// The member of a variable, or whether there is one.
fn member(variable: &str, name: &str, test: bool) -> Result<Slot, FilterError> {
    if variable == "event" {
        let field = EventField::ALL.iter().find_map(|(it, field)| (*it == name).then_some(*field));
        return match field {
            Some(field) if !test => Ok(Slot::Event(field)),
            Some(_) => Err(FilterError::NotAllowed(format!("event.{name} is always there"))),
            None => Err(FilterError::UnknownName(format!(
                "event.{name}: an event has {}",
                EventField::ALL.map(|it| it.0).join(", ")
            ))),
        };
    }
    let Some(map) = Map::ALL.iter().find_map(|(it, map)| (*it == variable).then_some(*map)) else {
        return Err(bare_name(variable));
    };
    if !map.can_have(name) {
        return Err(FilterError::UnknownName(format!(
            "{variable}.{name}: there is no such property"
        )));
    }
    if test {
        return Ok(Slot::Has(map, name.to_owned()));
    }
    if map == Map::Extensions {
        return Err(FilterError::NotAllowed(format!(
            "extensions['{name}'] has no value of its own: ask for .critical or .disabled of it, or \
             '{name}' in extensions"
        )));
    }
    Ok(Slot::Value(map, name.to_owned()))
}

fn variables() -> String {
    let names = Map::ALL.map(|it| it.0).join(", ");
    format!("event, {names}")
}

fn bare_name(name: &str) -> FilterError {
    if name == "event" || Map::ALL.iter().any(|it| it.0 == name) {
        FilterError::NotAllowed(format!(
            "{name} is no value of its own: name a member of it, in the expression"
        ))
    } else {
        FilterError::UnknownName(format!("{name}: there are {}", variables()))
    }
}

fn unknown_function(name: &str, of_value: bool, arguments: usize) -> FilterError {
    let known = FUNCTIONS.iter().any(|it| it.0 == name)
        || matches!(name, "matches" | "timestamp" | "duration" | "has");
    if known {
        let place = if of_value { "on a value" } else { "by itself" };
        return FilterError::NotAllowed(format!(
            "{name} cannot be called {place} with {arguments} arguments"
        ));
    }
    FilterError::UnknownName(format!("{name}: there is no such function in a filter"))
}

fn literal<'a>(function: &str, argument: &'a IdedExpr) -> Result<&'a str, FilterError> {
    text_of(argument).ok_or_else(|| {
        FilterError::NotAllowed(format!(
            "{function} takes a literal text, so that it can be checked"
        ))
    })
}

fn wrong_literal(text: &str, what: &str) -> FilterError {
    FilterError::Literal(one_line(&format!("{text:?} {what}")))
}

/// A word that `event.kind` is compared with has to be one that it can be.
fn check_words(call: &CallExpr) -> Result<(), FilterError> {
    let [left, right] = call.args.as_slice() else { return Ok(()) };
    let words: Vec<&str> = match (is_kind(left), is_kind(right), &right.expr) {
        (true, _, Expr::List(list)) => list.elements.iter().filter_map(text_of).collect(),
        (true, _, _) => text_of(right).into_iter().collect(),
        (_, true, _) => text_of(left).into_iter().collect(),
        _ => return Ok(()),
    };
    match words.into_iter().find(|it| !is_word(it)) {
        Some(word) => Err(wrong_literal(word, "is no kind of event")),
        None => Ok(()),
    }
}

fn is_kind(node: &IdedExpr) -> bool {
    matches!(slot_of(&node.expr), Ok(Some(Slot::Event(EventField::Kind))))
}

fn is_word(word: &str) -> bool {
    word != "unknown" && (0..u32::BITS).any(|it| EventKind::from_bit(1 << it).word() == word)
}
