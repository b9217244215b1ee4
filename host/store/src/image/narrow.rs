//! Conditions that may accept few images only, and how these are found.
//!
//! Whether they are few is counted, up to a bound, before the list is read: no planner knows it of
//! a part of a text.

use imprint_domain::{id::AccountId, search::Search};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseBackend, EntityTrait, ExprTrait, QueryFilter, QuerySelect,
    QueryTrait, TryGetable,
    sea_query::{BinOper, Condition, Expr, Func, LikeExpr, Query, SelectStatement, SimpleExpr},
};

use super::{
    filter::{FOUND, ID, ImageFilter, Owner, hidden},
    row, tags,
};
use crate::{Conn, StoreError, codec, share};

/// The most images that are found by an index and sorted, instead of walked in order. A row by its
/// id costs SQLite several times what it costs PostgreSQL.
const MAX_FOUND_SQLITE: u64 = 4_000;
const MAX_FOUND_POSTGRES: u64 = 16_000;

/// The length of the sequences that SQLite's full-text table has, in characters; PostgreSQL's index
/// has shorter ones, too.
const GRAM: usize = 3;
/// The most sequences that one search looks up.
const MAX_GRAMS: usize = 16;
/// Separates sequences in a parameter; no search contains it.
const GRAM_SEPARATOR: &str = "\u{1f}";

/// The two halves of a list's conditions: one that an index answers, and the others.
pub(super) struct Narrow {
    /// Selects the ids of those that one condition accepts, if they are few.
    pub(super) ids: Option<SelectStatement>,
    /// The other conditions, compared row by row.
    pub(super) compared: Condition,
}

/// Decides by which condition the images of a list are found.
pub(super) async fn choose(
    conn: &Conn<'_>,
    filter: &ImageFilter,
    owner: Owner,
) -> Result<Narrow, StoreError> {
    let backend = conn.0.get_database_backend();
    let mut narrow = Narrow { ids: None, compared: Condition::all() };
    if let Some(ids) = &filter.ids {
        let mut named = row::Entity::find().select_only().column(row::Column::Id);
        named = named.filter(row::Column::Id.is_in(ids.iter().map(|id| id.uuid())));
        narrow.ids = Some(named.into_query());
    }
    let account = match owner {
        Owner::CustomOf(account) => Some(account),
        Owner::Stock | Owner::Offered | Owner::All => None,
        Owner::SharedWith(account, now) => {
            let shared = share::images_shared_with(account, now);
            if narrow.ids.is_some() {
                let id = Expr::col((row::Entity, row::Column::Id));
                narrow.compared = narrow.compared.add(id.in_subquery(shared));
            } else {
                narrow.ids = Some(shared);
            }
            None
        }
    };
    for condition in conditions(backend, filter, account) {
        let found = match &condition.ids {
            Some(ids) if narrow.ids.is_none() => few(conn, ids, filter.most_found).await?,
            Some(_) | None => false,
        };
        if found {
            narrow.ids = condition.ids;
        }
        if !found || condition.inexact {
            narrow.compared = narrow.compared.add(condition.compared);
        }
    }
    Ok(narrow)
}

/// One condition: the ids that it accepts, by its index, and the same for a row.
struct Alternative {
    ids: Option<SelectStatement>,
    compared: SimpleExpr,
    /// The ids may be of more images than the condition accepts.
    inexact: bool,
}

fn conditions(
    backend: DatabaseBackend,
    filter: &ImageFilter,
    account: Option<AccountId>,
) -> Vec<Alternative> {
    let mut all = Vec::new();
    if let Some(source) = filter.source_instance_id {
        let ids = row::Entity::find()
            .select_only()
            .column(row::Column::Id)
            .filter(row::Column::SourceInstanceId.eq(source.uuid()))
            .into_query();
        let compared = hidden(backend, row::Column::SourceInstanceId).eq(source.uuid());
        all.push(Alternative { ids: Some(ids), compared, inexact: false });
    }
    for tag in &filter.tags {
        let key = tag.key();
        let compared = Expr::from(tags::tag_of_image(&key)).is_not_null();
        all.push(Alternative { ids: Some(tags::tagged(&key, account)), compared, inexact: false });
    }
    if let Some(search) = &filter.search {
        let words = search.words().iter().map(|word| contains(backend, word));
        if let Some(compared) = words.reduce(|all, word| all.and(word)) {
            all.push(Alternative { ids: containing(backend, search), compared, inexact: true });
        }
    }
    all
}

/// Whether a text contains a word. PostgreSQL guesses that a third of the texts do, where it would
/// take an unusual word for a rare one that has to be looked for everywhere.
fn contains(backend: DatabaseBackend, word: &str) -> SimpleExpr {
    let text = Expr::col((row::Entity, row::Column::SearchText));
    if backend != DatabaseBackend::Sqlite {
        return Expr::from(Func::cust("strpos").arg(text).arg(word)).gt(0);
    }
    let mut pattern = String::from("%");
    for c in word.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    text.like(LikeExpr::new(pattern).escape('\\'))
}

/// Selects the ids of images whose texts have all sequences of the words; `None` when the words are
/// too short for the index.
fn containing(backend: DatabaseBackend, search: &Search) -> Option<SelectStatement> {
    let is_sqlite = backend == DatabaseBackend::Sqlite;
    let grams = grams(search.words(), if is_sqlite { GRAM } else { 1 });
    if grams.is_empty() {
        return None;
    }
    Some(if is_sqlite { containing_sqlite(&grams) } else { containing_postgres(&grams) })
}

fn containing_sqlite(grams: &[String]) -> SelectStatement {
    let quoted: Vec<_> = grams.iter().map(|gram| format!("\"{}\"", gram.replace('"', "\"\""))).collect();
    let numbers = Query::select()
        .column("rowid")
        .from("image_grams")
        .and_where(Expr::cust("image_grams").binary(BinOper::Custom("match"), quoted.join(" ")))
        .to_owned();
    Query::select()
        .expr_as(Expr::col("image_id"), ID)
        .from("image_search")
        .and_where(Expr::col("number").in_subquery(numbers))
        .to_owned()
}

fn containing_postgres(grams: &[String]) -> SelectStatement {
    let wanted = Func::cust("string_to_array").arg(grams.join(GRAM_SEPARATOR)).arg(GRAM_SEPARATOR);
    Query::select()
        .column(row::Column::Id)
        .from(row::Entity)
        .and_where(Expr::cust("imprint_grams(search_text)").binary(BinOper::Custom("@>"), wanted))
        .to_owned()
}

/// The sequences of [`GRAM`] characters of some words, and whole words that are shorter but not
/// shorter than `shortest`; at most [`MAX_GRAMS`], from the beginning to the end.
fn grams(words: &[String], shortest: usize) -> Vec<String> {
    let mut all = Vec::new();
    for word in words {
        let chars: Vec<char> = word.chars().collect();
        if chars.len() >= GRAM {
            all.extend(chars.windows(GRAM).map(|gram| gram.iter().collect::<String>()));
        } else if chars.len() >= shortest {
            all.push(word.clone());
        }
    }
    all.sort();
    all.dedup();
    let step = all.len().div_ceil(MAX_GRAMS).max(1);
    all.into_iter().step_by(step).collect()
}

/// Whether a condition accepts few images.
async fn few(conn: &Conn<'_>, ids: &SelectStatement, most: Option<u64>) -> Result<bool, StoreError> {
    let is_sqlite = conn.0.get_database_backend() == DatabaseBackend::Sqlite;
    let most = most.unwrap_or(if is_sqlite { MAX_FOUND_SQLITE } else { MAX_FOUND_POSTGRES });
    let mut bounded = ids.clone();
    bounded.limit(most + 1);
    let count =
        Query::select().expr_as(Expr::cust("count(*)"), "images").from_subquery(bounded, FOUND).to_owned();
    let Some(row) = conn.0.query_one(&count).await? else { return Ok(false) };
    let found = i64::try_get(&row, "", "images").map_err(sea_orm::DbErr::from)?;
    Ok(codec::to_u64("images", found)? <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn words_are_looked_up_by_their_sequences() {
        assert_eq!(grams(&words("web-1 v2 äöüß"), 3), ["b-1", "eb-", "web", "äöü", "öüß"]);
        assert_eq!(grams(&words("v2 日本"), 1), ["v2", "日本"]);
        assert!(grams(&words("v2 x"), 3).is_empty());
        let long: String = ('a'..='z').chain('0'..='9').collect();
        let some = grams(std::slice::from_ref(&long), 3);
        assert!(some.len() <= MAX_GRAMS && some.iter().all(|gram| long.contains(gram.as_str())), "{some:?}");
    }
}
