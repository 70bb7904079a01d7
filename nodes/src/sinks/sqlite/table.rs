//! A table as the database has it: whether rows of these columns fit into it, and the statements for it.

use rusqlite::{Connection, ErrorCode, OptionalExtension};
use smollama_engine::batch::ItemKind;
use smollama_engine::diagnostic::{all_of, nearest};
use smollama_engine::registry::Problem;

use super::columns::{Columns, Content};
use super::{OnConflict, SqliteConfig};
use crate::sinks::file::{Field, TimeForm};

/// A table, and which rows go there.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Columns,
    /// The column with the times that rows are kept by.
    pub(super) dated: Option<String>,
    key: Vec<String>,
    on_conflict: OnConflict,
    time: TimeForm,
}

/// What was found of a table.
#[derive(Debug)]
pub(super) struct Found {
    columns: Vec<FoundColumn>,
    /// Whether its rows have numbers, by which the oldest are known.
    pub(super) has_rowid: bool,
}

#[derive(Debug)]
struct FoundColumn {
    name: String,
    declared: String,
    /// A row that says nothing of it is refused.
    needed: bool,
    generated: bool,
}

/// Why a table does not do.
#[derive(Debug)]
pub(super) enum Unfit {
    /// What is wrong with it, or with what is wanted of it.
    Problem(Problem),
    /// The database is not there, and not to be made.
    Gone,
    /// It could not be looked at.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Unfit {
        Unfit::Sqlite(error)
    }
}

/// A name as SQL takes it, whatever it holds.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

impl Table {
    /// Where the rows of a kind of items go.
    pub(super) fn new(config: &SqliteConfig, kind: ItemKind) -> Table {
        let columns = config.columns.clone().unwrap_or_else(|| Columns::usual(kind));
        Table {
            name: config.table.clone().unwrap_or_else(|| kind.as_str().to_owned()),
            dated: columns.dated(kind).map(str::to_owned),
            columns,
            key: config.key.clone(),
            on_conflict: config.on_conflict(),
            time: config.time,
        }
    }

    /// Whether each source, or whatever the key says, has one row.
    pub(super) fn is_keyed(&self) -> bool {
        !self.key.is_empty()
    }

    /// The statements that make it, with an index for what is asked most: a source over a time.
    pub(super) fn create(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for (name, content) in &self.columns.0 {
            lines.push(format!("  {} {}", quoted(name), content.declared(self.time)));
        }
        if self.is_keyed() {
            lines.push(format!("  UNIQUE ({})", list(self.key.iter().map(String::as_str))));
        }
        let table = quoted(&self.name);
        let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
        let mut sql = format!("CREATE TABLE IF NOT EXISTS {table} (\n{}\n);", lines.join(",\n"));
        let indexed: Vec<&str> =
            self.columns.of(&Field::Source).into_iter().chain(self.dated.as_deref()).collect();
        if !self.is_keyed() && !indexed.is_empty() {
            let index = quoted(&format!("{}_by_{}", self.name, indexed.join("_")));
            let indexed = list(indexed);
            sql += &format!("\nCREATE INDEX IF NOT EXISTS {index} ON {table} ({indexed});");
        }
        sql
    }

    /// The statement that writes a row. A row of a key that is there already takes its place, unless it is older.
    pub(super) fn insert(&self) -> String {
        let table = quoted(&self.name);
        let names = self.columns.0.iter().map(|(name, _)| name.as_str());
        let places: Vec<String> = (1..=self.columns.0.len()).map(|n| format!("?{n}")).collect();
        let (names, places) = (list(names), places.join(", "));
        let mut sql = format!("INSERT INTO {table} ({names}) VALUES ({places})");
        match self.on_conflict {
            OnConflict::Reject => {}
            OnConflict::Ignore if self.is_keyed() => {
                let key = list(self.key.iter().map(String::as_str));
                sql += &format!(" ON CONFLICT ({key}) DO NOTHING");
            }
            OnConflict::Ignore => sql += " ON CONFLICT DO NOTHING",
            OnConflict::Update => sql += &self.update(&table),
        }
        sql
    }

    fn update(&self, table: &str) -> String {
        let is_key = |name: &str| self.key.iter().any(|key| key.eq_ignore_ascii_case(name));
        let others = self.columns.0.iter().map(|(name, _)| name).filter(|name| !is_key(name));
        let set: Vec<String> =
            others.map(|name| format!("{0} = excluded.{0}", quoted(name))).collect();
        let key = list(self.key.iter().map(String::as_str));
        if set.is_empty() {
            return format!(" ON CONFLICT ({key}) DO NOTHING");
        }
        let mut sql = format!(" ON CONFLICT ({key}) DO UPDATE SET {}", set.join(", "));
        if let Some(dated) = self.dated.as_deref().filter(|dated| !is_key(dated)) {
            let dated = quoted(dated);
            sql +=
                &format!(" WHERE {table}.{dated} IS NULL OR excluded.{dated} >= {table}.{dated}");
        }
        sql
    }

    /// Looks at the table; `None` where there is none of the name.
    pub(super) fn find(&self, database: &Connection) -> rusqlite::Result<Option<Found>> {
        // The words of `table_list` for what `main` has of that name, as SQLite compares names.
        let sql = "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE";
        let one = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let found: Option<(String, String, bool)> =
            database.query_row(sql, [&self.name], one).optional()?;
        let Some((name, sort, without_rowid)) = found else { return Ok(None) };
        let sql = "SELECT name, type, \"notnull\", dflt_value IS NOT NULL, pk, hidden FROM pragma_table_xinfo(?1)";
        let mut columns = database.prepare(sql)?;
        let columns = columns.query_map([&name], |row| {
            let (declared, not_null): (String, bool) = (row.get(1)?, row.get(2)?);
            let (default, key, hidden): (bool, i64, i64) = (row.get(3)?, row.get(4)?, row.get(5)?);
            // A key of one INTEGER is the number of the row, and made where it is missing.
            let numbers = key > 0 && declared.eq_ignore_ascii_case("INTEGER") && !without_rowid;
            Ok(FoundColumn {
                name: row.get(0)?,
                needed: not_null && !default && hidden == 0 && !numbers,
                generated: hidden >= 2,
                declared,
            })
        })?;
        let columns = columns.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Some(Found { columns, has_rowid: sort == "table" && !without_rowid }))
    }

    /// Whether rows can be written into what was found.
    pub(super) fn check(&self, found: &Found, database: &Connection) -> Result<(), Unfit> {
        for (name, content) in &self.columns.0 {
            let named = |column: &&FoundColumn| column.name.eq_ignore_ascii_case(name);
            let problem = match found.columns.iter().find(named) {
                None => self.no_such_column(found, name),
                Some(column) if column.generated => {
                    let message = format!(
                        "`{name}` of the table `{}` is generated by the database",
                        self.name
                    );
                    Problem::at(at(name), message).help("leave it out")
                }
                Some(column) if self.is_of_another_type(column, content) => {
                    let declared = &column.declared;
                    let message = format!(
                        "`{name}` of the table `{}` is of type {declared}, and times are written as text",
                        self.name
                    );
                    Problem::at(at(name), message)
                        .help("write them as numbers: `time: s`, or `time: ms`")
                }
                Some(_) => continue,
            };
            return Err(Unfit::Problem(problem));
        }
        let is_written = |column: &&FoundColumn| {
            self.columns.0.iter().any(|(name, _)| name.eq_ignore_ascii_case(&column.name))
        };
        let missing: Vec<&str> = found
            .columns
            .iter()
            .filter(|column| column.needed && !is_written(column))
            .map(|column| column.name.as_str())
            .collect();
        if !missing.is_empty() {
            let message = format!(
                "the table `{}` takes no row without {}, which {} NOT NULL and {} no default",
                self.name,
                all_of(missing.iter().copied()),
                if missing.len() == 1 { "is" } else { "are" },
                if missing.len() == 1 { "has" } else { "have" },
            );
            let help = format!(
                "say in `columns` what it holds, such as `{}: {{ fixed: a text }}`",
                missing[0]
            );
            return Err(Unfit::Problem(Problem::at("columns", message).help(help)));
        }
        self.check_statement(database)
    }

    fn no_such_column(&self, found: &Found, name: &str) -> Problem {
        let has: Vec<&str> =
            found.columns.iter().filter(|it| !it.generated).map(|it| it.name.as_str()).collect();
        let message = format!(
            "the table `{}` has no column `{name}`; it has {}",
            self.name,
            all_of(has.iter().copied())
        );
        let problem = Problem::at(at(name), message);
        match nearest(name, has) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help("choose with `columns` what goes where"),
        }
    }

    /// Whether a column that is declared for numbers would get the texts of times. SQLite would take them, and whoever reads the column
    /// would not.
    fn is_of_another_type(&self, column: &FoundColumn, content: &Content) -> bool {
        let declared = column.declared.to_ascii_uppercase();
        let for_numbers = ["INT", "REAL", "FLOA", "DOUB"].iter().any(|it| declared.contains(it));
        content.is_time() && self.time == TimeForm::Rfc3339 && for_numbers
    }

    /// Whether SQLite understands what is wanted: views, and keys that are none, it does not.
    fn check_statement(&self, database: &Connection) -> Result<(), Unfit> {
        let Err(error) = database.prepare(&self.insert()) else { return Ok(()) };
        let msg = match &error {
            rusqlite::Error::SqlInputError { msg, .. } => msg,
            // One that has no place in the statement.
            rusqlite::Error::SqliteFailure(code, Some(msg)) if code.code == ErrorCode::Unknown => {
                msg
            }
            _ => return Err(error.into()),
        };
        let problem = if msg.contains("ON CONFLICT") {
            let key = self.key.join(", ");
            let message = format!(
                "`{}` is no key of the table `{}`: nothing says that it is unique",
                key, self.name
            );
            let index = format!(
                "CREATE UNIQUE INDEX {} ON {} ({})",
                quoted(&format!("{}_key", self.name)),
                quoted(&self.name),
                list(self.key.iter().map(String::as_str))
            );
            Problem::at("key", message).help(format!("make an index in the database: {index}"))
        } else {
            Problem::at("table", format!("rows cannot be put into `{}`: {msg}", self.name))
        };
        Err(Unfit::Problem(problem))
    }

    /// What is to be said where the table is missing and is not to be made.
    pub(super) fn missing(&self, database: &Connection) -> Unfit {
        let sql = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
        let names = database.prepare(sql).and_then(|mut names| {
            names.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
        });
        let names = match names {
            Ok(names) => names,
            Err(error) => return error.into(),
        };
        let has = match names.as_slice() {
            [] => "none".to_owned(),
            names => all_of(names.iter().map(String::as_str)),
        };
        let message = format!("the database has no table `{}`; it has {has}", self.name);
        let problem = Problem::at("table", message);
        Unfit::Problem(match nearest(&self.name, names.iter().map(String::as_str)) {
            Some(near) => problem.help(format!("did you mean `{near}`? `create: true` makes it")),
            None => problem.help("`create: true` makes it"),
        })
    }
}

/// Where a column stands among the settings.
fn at(column: &str) -> String {
    format!("columns.{column}")
}
