//! What users write themselves: functions over any handle with commands, a handle of their own, and their own types as
//! arguments and replies.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use keyslot::{
    ArgWriter, Client, Command, Commands, ConversionError, Each, Element, FromValue, Request, ToArg, ToArgs,
    Value, WrittenArg,
};

use crate::started;

async fn visit(store: &impl Commands, page: &str) -> keyslot::Result<i64> {
    store.sadd("pages", page).await?;
    store.incr(format!("visits:{page}")).await
}

/// A repository over whatever has the commands.
struct Users<C> {
    store: C,
}

impl<C: Commands + Sync> Users<C> {
    async fn rename(&self, id: UserId, name: &str) -> keyslot::Result<Option<String>> {
        let old = self.store.hget(id, "name").await?;
        self.store.hset(id, [("name", name)]).await?;
        Ok(old)
    }
}

/// A handle that counts what goes through it.
struct Counting {
    client: Client,
    sent: AtomicU64,
}

impl Commands for Counting {
    fn execute<R: FromValue>(&self, command: Command) -> Request<'_, R> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.client.execute(command)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct UserId(u64);

impl ToArg for UserId {
    fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
        arg.owned(format!("user:{}", self.0).into())
    }
}

impl Element for UserId {
    type Lent<'a> = Self;

    fn lend(&self) -> Self {
        *self
    }
}

impl ToArgs for UserId {
    type Arg = Self;

    fn into_args(self) -> impl Iterator<Item = Self> {
        std::iter::once(self)
    }
}

/// A state that is kept as a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    Paid,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Paid => "paid",
        })
    }
}

impl ToArg for State {
    fn write_arg(self, arg: ArgWriter<'_>) -> WrittenArg {
        arg.bytes(self.to_string().as_bytes())
    }
}

impl FromValue for State {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let text = String::from_value(value)?;
        match text.as_str() {
            "open" => Ok(Self::Open),
            "paid" => Ok(Self::Paid),
            _ => Err(ConversionError::BadContent { text, wanted: "a state" }),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn functions_over_any_handle_with_commands() {
    let (_cluster, client) = started().await;
    assert_eq!(visit(&client, "home").await.unwrap(), 1);
    let counting = Counting { client: client.clone(), sent: AtomicU64::new(0) };
    assert_eq!(visit(&counting, "home").await.unwrap(), 2);
    assert_eq!(counting.sent.load(Ordering::Relaxed), 2);

    let users = Users { store: counting };
    let renamed = tokio::spawn(async move {
        users.rename(UserId(1), "Ann").await?;
        users.rename(UserId(1), "Anna").await
    });
    assert_eq!(renamed.await.unwrap().unwrap(), Some("Ann".to_owned()));
    assert_eq!(client.hget::<String>("user:1", "name").await.unwrap(), "Anna");
}

#[tokio::test(start_paused = true)]
async fn own_types_are_arguments_and_replies() {
    let (_cluster, client) = started().await;
    client.set(UserId(1), State::Open).await.unwrap();
    client.mset([(UserId(2), State::Paid), (UserId(3), State::Open)]).await.unwrap();
    let state: State = client.get("user:1").await.unwrap();
    assert_eq!(state, State::Open);
    let states: Vec<Option<State>> = client.mget([UserId(2), UserId(4), UserId(3)]).await.unwrap();
    assert_eq!(states, [Some(State::Paid), None, Some(State::Open)]);

    client.set("user:4", "lost").await.unwrap();
    let error = client.get::<State>(UserId(4)).await.unwrap_err();
    assert!(error.to_string().ends_with("the reply \"lost\" is not a state"), "{error}");

    let ids = vec![UserId(1), UserId(2)];
    assert_eq!(client.exists(&ids).await.unwrap(), 2);
    assert_eq!(client.del(UserId(1)).await.unwrap(), 1);
    assert_eq!(client.del(Each(ids.into_iter().chain([UserId(3)]))).await.unwrap(), 2);

    let mut pipeline = client.pipeline();
    pipeline.set(UserId(5), State::Paid).get(UserId(5));
    assert_eq!(pipeline.run::<((), State)>().await.unwrap().1, State::Paid);
    let command = Command::new("GET").key(UserId(5));
    assert_eq!(client.execute::<State>(command).await.unwrap(), State::Paid);
}
