//! Statements by chance, of all kinds that change a database file in their own way.

use lix_engine_protocol::proto::Value;

use crate::client::{blob, integer};
use crate::disk::Chance;
use crate::lix;

/// What a life does, and how much of it.
pub(crate) struct Workload {
    /// The most bytes of a blob.
    blob_bytes: usize,
    /// How many rows a statement that multiplies them may add.
    rows: usize,
    /// What comes first, last one first.
    planned: Vec<&'static str>,
    /// It starts with a table `t0` of so many rows of a kilobyte.
    pub(crate) seed_rows: usize,
    /// Most of it is work on versions.
    is_lix: bool,
}

impl Workload {
    pub(crate) fn new(chance: &mut Chance, is_lix: bool) -> Self {
        let plain =
            |blob_bytes, rows| Self { blob_bytes, rows, planned: vec![], seed_rows: 0, is_lix };
        match chance.below(20) {
            _ if is_lix => plain(3_000, 30),
            0..11 => plain(3_000, 30),
            11..15 => plain(30_000, 60),
            // Saves of more blocks than a record holds.
            15..17 => plain(1_600_000, 3),
            // A large file that becomes mostly empty, what is left lying where it lies.
            _ => Self {
                seed_rows: 1_500,
                planned: match chance.below(3) {
                    0 => vec!["vacuum", "delete from t0 where id < 1400"],
                    1 => vec!["vacuum", "delete from t0 where id > 200", "update t0 set a = 1"],
                    _ => vec!["vacuum", "drop table t0"],
                },
                ..plain(3_000, 30)
            },
        }
    }

    pub(crate) fn is_large(&self) -> bool {
        self.blob_bytes > 100_000 || self.seed_rows > 0
    }

    /// A statement, and its parameters. It may fail, for both databases alike.
    pub(crate) fn statement(
        &mut self,
        chance: &mut Chance,
        in_transaction: bool,
    ) -> (String, Vec<Value>) {
        if !in_transaction && let Some(planned) = self.planned.pop() {
            return (planned.into(), vec![]);
        }
        if self.is_lix && chance.below(6) > 0 {
            return lix::statement(chance, in_transaction);
        }
        let table = format!("t{}", chance.below(4));
        let id = chance.below(60) as i64;
        let some = chance.below(self.rows) + 1;
        let plain = |sql: String| (sql, vec![]);
        match chance.below(if in_transaction { 34 } else { 40 }) {
            0..3 => {
                plain(format!("create table if not exists {table}(id integer primary key, a, b)"))
            }
            3..14 => {
                let len = chance.below(300);
                (
                    insert(&table),
                    vec![integer(id), integer(chance.next() as i64), bytes(len, chance)],
                )
            }
            14..17 => {
                let len = chance.below(self.blob_bytes);
                (insert(&table), vec![integer(id), integer(id), bytes(len, chance)])
            }
            17..19 => plain(format!("update {table} set a = a + 1 where id % 7 = {}", id % 7)),
            19 => plain(format!(
                "update {table} set b = zeroblob({}) where id = {id}",
                chance.below(self.blob_bytes)
            )),
            20..22 => plain(format!("delete from {table} where id % 5 = {}", id % 5)),
            22 => plain(format!("insert into {table}(a, b) select a, b from {table} limit {some}")),
            23 => plain(format!("create index if not exists {table}a on {table}(a)")),
            24 => plain(format!("drop index if exists {table}a")),
            25 => plain(format!("alter table {table} add column c{} default 5", id % 3)),
            26 => plain(format!("delete from {table}")),
            27 => plain(format!("drop table if exists {table}")),
            28 => plain(format!("savepoint s{}", id % 3)),
            29 => plain(format!("rollback to s{}", id % 3)),
            30 => plain(format!("release s{}", id % 3)),
            31 => plain("pragma incremental_vacuum(3)".into()),
            32 if in_transaction => plain("rollback".into()),
            32..34 if in_transaction => plain("commit".into()),
            32..37 => plain("begin".into()),
            37 => plain("vacuum".into()),
            38 => plain(format!("pragma auto_vacuum = {}", chance.below(3))),
            _ => plain(format!("pragma page_size = {}", 512 << chance.below(8))),
        }
    }
}

fn insert(table: &str) -> String {
    format!("insert or replace into {table}(id, a, b) values (?, ?, ?)")
}

fn bytes(len: usize, chance: &mut Chance) -> Value {
    let seed = chance.next().to_le_bytes();
    blob(seed.iter().cycle().take(len).copied().collect())
}
