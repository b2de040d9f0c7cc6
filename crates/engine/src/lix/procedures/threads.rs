//! Discussions, and the entities they are about (chapter 23 of the data model).

use std::collections::HashSet;
use std::rc::Rc;

use lix_engine_protocol::Result;
use serde_json::{Value, json};

use super::labels::{Link, LinkKind, take_entity};
use super::{Options, Procedure, text};
use crate::lix::json;
use crate::lix::state::{Filter, Key, Viewers};
use crate::lix::{GLOBAL, Lix};

pub(super) const PROCEDURES: &[Procedure] = &[
    Procedure {
        name: "lix_create_thread",
        columns: "id text, metadata json text, comments json text",
        writes: true,
        run: |lix, call| {
            let thread = lix.create_thread(call.read(CreateThread::take)?)?;
            let comments = Value::Array(thread.comments).to_string();
            Ok(vec![vec![thread.id.into(), super::json(&thread.metadata), comments.into()]])
        },
    },
    Procedure {
        name: "lix_create_thread_comment",
        columns: "id text, thread_id text, parent_id text, body json text",
        writes: true,
        run: |lix, call| {
            let comment = lix.create_thread_comment(call.read(CreateComment::take)?)?;
            Ok(vec![vec![
                text(&comment, "id").into(),
                text(&comment, "thread_id").into(),
                comment.get("parent_id").and_then(Value::as_str).into(),
                super::json(&comment["body"]),
            ]])
        },
    },
    Procedure {
        name: "lix_create_entity_thread",
        columns: "entity_id text, schema_key text, file_id text, thread_id text",
        writes: true,
        run: |lix, call| {
            let (link, version) = call.read(|options| Link::take(options, THREAD))?;
            let version = lix.version_or_global(version)?;
            lix.link(&version, &link)?;
            Ok(vec![link.row()])
        },
    },
    Procedure {
        name: "lix_delete_entity_thread",
        columns: "entity_id text, schema_key text, file_id text, thread_id text",
        writes: true,
        run: |lix, call| {
            let (link, version) = call.read(|options| Link::take(options, THREAD))?;
            let version = lix.version_or_global(version)?;
            let was_there = lix.unlink(&version, &link)?;
            Ok(was_there.then(|| link.row()).into_iter().collect())
        },
    },
];

const THREAD: LinkKind = LinkKind { schema_key: "lix_entity_thread", property: "thread_id" };

struct CreateThread {
    id: Option<Rc<str>>,
    metadata: Value,
    bodies: Vec<Value>,
    version: Option<Rc<str>>,
    entity: Option<Key>,
}

struct Thread {
    id: Rc<str>,
    metadata: Value,
    comments: Vec<Value>,
}

struct CreateComment {
    id: Option<Rc<str>>,
    thread_id: Rc<str>,
    parent: Parent,
    body: Value,
}

/// What a comment answers.
enum Parent {
    /// The newest comment that has no answer yet.
    Newest,
    /// This comment; none: it stands at the top.
    Given(Option<Rc<str>>),
}

impl CreateThread {
    fn take(options: &mut Options) -> Result<Self> {
        Ok(Self {
            id: options.optional_id("id")?,
            metadata: options.optional_object("metadata")?.unwrap_or_default(),
            bodies: options
                .optional_objects("comments", |comment| comment.object_value("body"))?
                .unwrap_or_default(),
            version: options.optional_id("version")?,
            entity: options.optional_part("entity", take_entity)?,
        })
    }
}

impl CreateComment {
    fn take(options: &mut Options) -> Result<Self> {
        Ok(Self {
            thread_id: options.id("thread_id")?,
            body: options.object_value("body")?,
            id: options.optional_id("id")?,
            parent: options.nullable_id("parent_id")?.map_or(Parent::Newest, Parent::Given),
        })
    }
}

impl Lix {
    fn version_or_global(self: &Rc<Self>, given: Option<Rc<str>>) -> Result<Rc<str>> {
        self.version_or_active(Some(given.unwrap_or_else(|| GLOBAL.into())))
    }

    /// Creates a thread with comments, each of which answers the one before.
    fn create_thread(self: &Rc<Self>, wanted: CreateThread) -> Result<Thread> {
        let version = self.version_or_global(wanted.version)?;
        let id = self.id_or_new(wanted.id);
        let thread = json!({"id": &*id, "metadata": wanted.metadata});
        self.insert(&version, Key::own("lix_thread", &id), thread)?;
        let mut comments: Vec<Value> = Vec::new();
        for body in wanted.bodies {
            let parent = comments.last().map_or(Value::Null, |comment| comment["id"].clone());
            comments.push(self.insert_comment(&version, None, &id, parent, body)?);
        }
        if let Some(entity) = wanted.entity {
            self.link(&version, &Link::new(THREAD, entity, id.clone()))?;
        }
        Ok(Thread { id, metadata: wanted.metadata, comments })
    }

    /// Adds a comment where the thread is.
    fn create_thread_comment(
        self: &Rc<Self>,
        wanted: CreateComment,
    ) -> Result<serde_json::Map<String, Value>> {
        let CreateComment { id, thread_id, parent, body } = wanted;
        let version = self.thread_owner(&thread_id)?;
        let parent = match parent {
            Parent::Given(parent) => parent,
            Parent::Newest => self.newest_leaf(&version, &thread_id)?,
        };
        match self.insert_comment(&version, id, &thread_id, json!(parent.as_deref()), body)? {
            Value::Object(comment) => Ok(comment),
            _ => unreachable!("a comment is an object"),
        }
    }

    fn insert_comment(
        self: &Rc<Self>,
        version: &str,
        id: Option<Rc<str>>,
        thread_id: &str,
        parent_id: Value,
        body: Value,
    ) -> Result<Value> {
        let id = self.id_or_new(id);
        let comment =
            json!({"id": &*id, "thread_id": thread_id, "parent_id": parent_id, "body": body});
        self.insert(version, Key::own("lix_thread_comment", &id), comment.clone())?;
        Ok(comment)
    }

    /// The version that holds a thread itself; of several the active one, global, or the first.
    fn thread_owner(self: &Rc<Self>, thread_id: &str) -> Result<Rc<str>> {
        let mut scan = self.scan(Filter {
            schema_keys: Some(vec!["lix_thread".into()]),
            entity_ids: Some(vec![thread_id.into()]),
            own_only: true,
            ..Filter::default()
        })?;
        let mut owners = Vec::new();
        while let Some(row) = scan.next()? {
            owners.push(row.version_id);
        }
        let active = self.active_version_id()?;
        owners.sort_by_key(|id| (Some(id) != active.as_ref(), **id != *GLOBAL, id.clone()));
        // Nobody has it: then writing the comment says so.
        Ok(owners.into_iter().next().unwrap_or_else(|| GLOBAL.into()))
    }

    /// The comment without an answer that was written last; of equally old ones the greatest id.
    fn newest_leaf(self: &Rc<Self>, version: &Rc<str>, thread_id: &str) -> Result<Option<Rc<str>>> {
        let mut scan = self.scan(Filter {
            viewers: Viewers::These(vec![version.clone()]),
            schema_keys: Some(vec!["lix_thread_comment".into()]),
            properties: vec![("thread_id".into(), thread_id.into())],
            ..Filter::default()
        })?;
        let (mut comments, mut answered) = (Vec::new(), HashSet::new());
        while let Some(row) = scan.next()? {
            let comment = json::object(row.snapshot.as_deref());
            if text(&comment, "thread_id") == thread_id {
                answered.insert(text(&comment, "parent_id").to_owned());
                comments.push((row.created_at, Rc::from(text(&comment, "id"))));
            }
        }
        let leaves = comments.into_iter().filter(|(_, id)| !answered.contains(&**id));
        Ok(leaves.max().map(|(_, id)| id))
    }
}
