//! Against the real programs: what a cluster promises when things end badly.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tidekeeper::io::lock::LockError;
use tidekeeper::io::process::{Spawn, poll, spawn};
use tidekeeper::store::cluster::{Cluster, ClusterError, ClusterOptions, Durability};
use tidekeeper::world::cache;

const SOON: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(2);
/// Characters of the database's password: 32 bytes in hexadecimal.
const PASSWORD_CHARS: usize = 64;
const WITHOUT_POSTGRES: &str = "opening a cluster; `tools/setup.sh test` brings a Postgres";

/// A directory that every user may pass, removed at the end of the test.
struct Scratch(PathBuf);

impl Scratch {
    /// In the system's own place: a checkout may stand where the database's user cannot go.
    fn new(name: &str) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("tk-{name}-{}", std::process::id()));
        make_dir(&dir, 0o755)?;
        Ok(Self(dir.canonicalize()?))
    }

    fn options(&self, durability: Durability) -> ClusterOptions {
        ClusterOptions { state_dir: self.0.join("state"), durability, cache_dir: cache::find() }
    }

    fn open(&self, durability: Durability) -> Result<Cluster> {
        Cluster::open(&self.options(durability)).context(WITHOUT_POSTGRES)
    }

    /// `pg` in the state directory, made by hand.
    fn make_near(&self) -> Result<PathBuf> {
        let state = self.0.join("state");
        make_dir(&state, 0o711)?;
        make_dir(&state.join("pg"), 0o711)?;
        Ok(state.join("pg"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What remains is litter, and no reason to hide why the test failed.
        drop(fs::remove_dir_all(&self.0));
    }
}

fn make_dir(dir: &Path, mode: u32) -> Result<()> {
    fs::create_dir(dir).with_context(|| dir.display().to_string())?;
    Ok(fs::set_permissions(dir, Permissions::from_mode(mode))?)
}

fn home(cluster: &Cluster) -> Result<PathBuf> {
    let file = cluster.manifest().password_file;
    Ok(file.parent().context("the password has no directory")?.into())
}

/// Who runs the database, when that is somebody else than us.
fn other_user(data: &Path) -> Result<Option<(u32, u32)>> {
    let meta = fs::metadata(data)?;
    Ok(geteuid().is_root().then_some((meta.uid(), meta.gid())))
}

/// Where the programs are that a server of this data ran with.
fn programs(data: &Path) -> Result<PathBuf> {
    // Each server writes its command line there: the program, then its arguments in quotes.
    let told = fs::read_to_string(data.join("postmaster.opts"))?;
    let program = told.split(" \"").next().map(Path::new).and_then(Path::parent);
    Ok(program.with_context(|| format!("no program in {told:?}"))?.into())
}

fn query<T>(
    options: &PgConnectOptions,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connection = options.connect().await?;
        let done = work(&mut connection).await?;
        connection.close().await?;
        Ok(done)
    })
}

fn write_row(cluster: &Cluster) -> Result<()> {
    query(&cluster.connect_options(), async |connection| {
        let table = "create table if not exists tides (height bigint not null)";
        sqlx::query(table).execute(&mut *connection).await?;
        sqlx::query("insert into tides values (7)").execute(connection).await?;
        Ok(())
    })
}

fn count_rows(cluster: &Cluster) -> Result<i64> {
    query(&cluster.connect_options(), async |connection| {
        sqlx::query_scalar("select count(*) from tides").fetch_one(connection).await
    })
}

fn pid(cluster: &Cluster) -> Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(cluster.pid())?))
}

#[test]
fn rows_survive_reopening_and_sigkill_of_the_server() -> Result<()> {
    let scratch = Scratch::new("rows")?;
    let cluster = scratch.open(Durability::Durable)?;
    write_row(&cluster)?;
    cluster.stop()?;

    let mut cluster = scratch.open(Durability::Durable)?;
    assert_eq!(count_rows(&cluster)?, 1);
    write_row(&cluster)?;
    kill(pid(&cluster)?, Signal::SIGKILL)?;
    let ended = poll(SOON, STEP, || (!cluster.is_running()).then_some(()));
    ensure!(ended.is_some(), "SIGKILL did not end the server");
    cluster.revive()?;
    assert_eq!(count_rows(&cluster)?, 2);
    write_row(&cluster)?;
    kill(pid(&cluster)?, Signal::SIGKILL)?;
    drop(cluster);

    let cluster = scratch.open(Durability::Durable)?;
    assert_eq!(count_rows(&cluster)?, 3);
    Ok(())
}

#[test]
fn second_open_is_refused_with_the_pid_and_first_is_private() -> Result<()> {
    let scratch = Scratch::new("second")?;
    let cluster = scratch.open(Durability::Throwaway)?;
    let refused = Cluster::open(&scratch.options(Durability::Throwaway));
    let us = std::process::id();
    let by_us =
        |error: &LockError| matches!(error, LockError::Held { pid, .. } if *pid == Some(us));
    ensure!(
        matches!(&refused, Err(ClusterError::Lock(error)) if by_us(error)),
        "the second open: {refused:?}"
    );

    let password = fs::read_to_string(cluster.manifest().password_file)?;
    assert_eq!(password.len(), PASSWORD_CHARS);
    let stranger = cluster.connect_options().password("wrong");
    ensure!(query(&stranger, async |_| Ok(())).is_err(), "a wrong password was taken");
    let addresses: String = query(&cluster.connect_options(), async |connection| {
        sqlx::query_scalar("show listen_addresses").fetch_one(connection).await
    })?;
    assert_eq!(addresses, "");
    ensure!(cluster.version().starts_with(|c: char| c.is_ascii_digit()), "{}", cluster.version());
    ensure!(!format!("{cluster:?}").contains(&password), "the password can be printed");
    Ok(())
}

#[test]
fn root_drops_to_another_user_even_from_a_closed_directory() -> Result<()> {
    let scratch = Scratch::new("closed")?;
    let state = scratch.0.join("state");
    make_dir(&state, 0o700)?;
    let cluster = scratch.open(Durability::Throwaway)?;
    let home = home(&cluster)?;
    let is_ours = fs::metadata(home.join("data"))?.uid() == geteuid().as_raw();
    assert_eq!(is_ours, !geteuid().is_root());
    assert_eq!(state.join("pg/elsewhere").exists(), geteuid().is_root());
    assert_eq!(home.starts_with(&state), !geteuid().is_root());
    write_row(&cluster)?;
    cluster.stop()?;
    let cluster = scratch.open(Durability::Throwaway)?;
    assert_eq!(count_rows(&cluster)?, 1);
    cluster.stop()?;
    Ok(fs::remove_dir_all(home)?)
}

#[test]
fn frozen_server_is_ended_in_order() -> Result<()> {
    let scratch = Scratch::new("frozen")?;
    let cluster = scratch.open(Durability::Throwaway)?;
    let log = home(&cluster)?.join("postgres.log");
    kill(pid(&cluster)?, Signal::SIGSTOP)?;
    cluster.stop()?;
    let said = fs::read_to_string(log)?;
    ensure!(said.contains("database system is shut down"), "{said}");
    Ok(())
}

#[test]
fn cluster_killed_while_being_made_is_made_again() -> Result<()> {
    let whole = Scratch::new("whole")?;
    let cluster = whole.open(Durability::Throwaway)?;
    let data = home(&cluster)?.join("data");
    cluster.stop()?;

    let half = Scratch::new("half")?;
    let scrap = half.make_near()?.join("data.scrap");
    make_dir(&scrap, 0o700)?;
    let user = other_user(&data)?;
    if let Some((uid, gid)) = user {
        chown(&scrap, Some(uid), Some(gid))?;
    }
    let child = spawn(Spawn {
        args: vec!["-D".into(), scrap.clone().into(), "-A".into(), "trust".into()],
        env: Some(vec![("LC_ALL".into(), "C".into())]),
        current_dir: Some("/".into()),
        user,
        ..Spawn::new(programs(&data)?.join("initdb"))
    })?;
    let begun = poll(SOON, STEP, || scrap.join("PG_VERSION").exists().then_some(()));
    child.signal(Signal::SIGKILL)?;
    ensure!(begun.is_some(), "initdb never began");
    ensure!(child.wait(SOON).is_some(), "SIGKILL did not end initdb");
    let cluster = half.open(Durability::Throwaway)?;
    write_row(&cluster)?;
    ensure!(!scrap.exists(), "the half-made cluster was kept");
    Ok(())
}

#[test]
fn server_left_by_a_killed_agent_is_ended_and_its_rows_are_kept() -> Result<()> {
    let scratch = Scratch::new("orphan")?;
    let cluster = scratch.open(Durability::Durable)?;
    write_row(&cluster)?;
    let (data, socket_dir) = (home(&cluster)?.join("data"), cluster.manifest().socket_dir);
    cluster.stop()?;

    // Not by our own spawning, whose children die with us.
    let mut orphan = Command::new(programs(&data)?.join("postgres"));
    orphan.arg("-D").arg(&data).args(["-c", "listen_addresses="]).arg("-k").arg(socket_dir);
    if let Some((uid, gid)) = other_user(&data)? {
        orphan.uid(uid).gid(gid);
    }
    orphan.env_clear().current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    let mut orphan = orphan.spawn()?;
    // The server writes there that it is ready, and removes the file when all is closed in order.
    let pid_file = data.join("postmaster.pid");
    let is_ready = || fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("ready"));
    let ready = poll(SOON, STEP, || is_ready().then_some(()));
    // Reaps, as the parent of an orphan would.
    let reaper = std::thread::spawn(move || orphan.wait());

    let cluster = scratch.open(Durability::Durable)?;
    ensure!(ready.is_some(), "the server left behind was never ready");
    assert_eq!(count_rows(&cluster)?, 1);
    let Ok(status) = reaper.join() else { bail!("nobody waited for the server left behind") };
    ensure!(status?.success(), "the server left behind was not ended in order");
    Ok(())
}

#[test]
fn pid_file_that_names_another_living_program_stops_nobody() -> Result<()> {
    let scratch = Scratch::new("stale")?;
    let cluster = scratch.open(Durability::Throwaway)?;
    let data = home(&cluster)?.join("data");
    cluster.stop()?;
    // A process of the server's own user, so that Postgres could not tell by itself.
    let user = other_user(&data)?;
    let other = spawn(Spawn { args: vec!["60".into()], user, ..Spawn::new("sleep") })?;
    let text = format!("{}\n{}\n1\n5432\n\n\n\n", other.pid(), data.display());
    fs::write(data.join("postmaster.pid"), text)?;
    drop(scratch.open(Durability::Throwaway)?);
    ensure!(other.is_running(), "a stranger was ended");
    Ok(())
}

#[test]
fn data_of_another_major_version_is_refused_untouched() -> Result<()> {
    let scratch = Scratch::new("major")?;
    let data = scratch.make_near()?.join("data");
    make_dir(&data, 0o700)?;
    fs::write(data.join("PG_VERSION"), "9\n")?;
    if geteuid().is_root() {
        chown(&data, Some(65_534), Some(65_534))?;
    }
    match Cluster::open(&scratch.options(Durability::Throwaway)) {
        Err(ClusterError::Major { major: 9, .. }) => {}
        Err(other) => return Err(other).context(WITHOUT_POSTGRES),
        Ok(_) => bail!("data of Postgres 9 was opened"),
    }
    assert_eq!(fs::read_dir(&data)?.count(), 1);
    Ok(())
}
