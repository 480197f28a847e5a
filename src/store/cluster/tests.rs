//! Against the real programs: what a cluster promises when things end badly.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use sqlx::{ConnectOptions, Connection, PgConnection, Row};

use super::*;
use crate::io::process::{Output, Spawn, poll, spawn};
use crate::store::cluster::place::tests::TempDir;

const SOON: Duration = Duration::from_secs(10);

fn machine(temp: &TempDir) -> Machine {
    let (base, runtime) = (temp.0.join("base"), None);
    Machine { base, runtime, orphan_grace: Duration::from_millis(50), ..Machine::this() }
}

fn options(temp: &TempDir, durability: Durability) -> ClusterOptions {
    ClusterOptions { state_dir: temp.0.join("state"), durability, cache_dir: Some(cache_dir()) }
}

/// What set-up fills, for machines without a Postgres of their own.
fn cache_dir() -> PathBuf {
    let set = env::var_os("TIDEKEEPER_CACHE").map(PathBuf::from);
    set.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache"))
}

fn open(temp: &TempDir, durability: Durability) -> Cluster {
    Cluster::open_on(&machine(temp), &options(temp, durability)).unwrap()
}

fn query<T>(options: &PgConnectOptions, work: impl AsyncFnOnce(&mut PgConnection) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = options.connect().await.unwrap();
        let done = work(&mut connection).await;
        connection.close().await.unwrap();
        done
    })
}

fn write_row(cluster: &Cluster) {
    query(&cluster.connect_options(), async |connection| {
        let table = "create table if not exists tides (height bigint not null)";
        sqlx::query(table).execute(&mut *connection).await.unwrap();
        sqlx::query("insert into tides values (7)").execute(connection).await.unwrap();
    });
}

fn count_rows(cluster: &Cluster) -> i64 {
    query(&cluster.connect_options(), async |connection| {
        sqlx::query("select count(*) from tides").fetch_one(connection).await.unwrap().get(0)
    })
}

fn pid(cluster: &Cluster) -> Pid {
    Pid::from_raw(i32::try_from(cluster.pid()).unwrap())
}

#[test]
fn rows_survive_reopening_and_sigkill_of_the_server() {
    let temp = TempDir::new("rows");
    let cluster = open(&temp, Durability::Durable);
    write_row(&cluster);
    cluster.stop().unwrap();

    let mut cluster = open(&temp, Durability::Durable);
    assert_eq!(count_rows(&cluster), 1);
    write_row(&cluster);
    kill(pid(&cluster), Signal::SIGKILL).unwrap();
    poll(SOON, Duration::from_millis(5), || (!cluster.is_running()).then_some(())).unwrap();
    cluster.revive().unwrap();
    assert_eq!(count_rows(&cluster), 2);
    write_row(&cluster);
    kill(pid(&cluster), Signal::SIGKILL).unwrap();
    drop(cluster);

    let cluster = open(&temp, Durability::Durable);
    assert_eq!(count_rows(&cluster), 3);
}

#[test]
fn second_open_is_refused_with_the_pid_and_first_is_private() {
    let temp = TempDir::new("second");
    let cluster = open(&temp, Durability::Throwaway);
    let refused = Cluster::open_on(&machine(&temp), &options(&temp, Durability::Throwaway));
    let us = std::process::id();
    assert!(matches!(
        refused,
        Err(ClusterError::Lock(LockError::Held { pid: Some(pid), .. })) if pid == us
    ));

    let manifest = cluster.manifest();
    let password = fs::read_to_string(&manifest.password_file).unwrap();
    assert_eq!(password.len(), 2 * PASSWORD_BYTES);
    let wrong = cluster.connect_options().password("wrong");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(wrong.connect()).is_err());
    let addresses: String = query(&cluster.connect_options(), async |connection| {
        sqlx::query("show listen_addresses").fetch_one(connection).await.unwrap().get(0)
    });
    assert_eq!(addresses, "");
    assert!(cluster.version().starts_with(|c: char| c.is_ascii_digit()));
    assert!(!format!("{cluster:?}").contains(&password));
}

#[test]
fn root_drops_to_another_user_even_from_a_closed_directory() {
    let temp = TempDir::new("closed");
    let state = temp.0.join("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let cluster = open(&temp, Durability::Throwaway);
    let owner = fs::metadata(cluster.launch.home.data()).map(|meta| {
        use std::os::unix::fs::MetadataExt;
        meta.uid()
    });
    assert_eq!(owner.unwrap() == geteuid().as_raw(), !geteuid().is_root());
    assert_eq!(state.join("pg/elsewhere").exists(), geteuid().is_root());
    write_row(&cluster);
    cluster.stop().unwrap();
    assert_eq!(count_rows(&open(&temp, Durability::Throwaway)), 1);
}

#[test]
fn frozen_server_is_ended_in_order() {
    let temp = TempDir::new("frozen");
    let cluster = open(&temp, Durability::Throwaway);
    kill(pid(&cluster), Signal::SIGSTOP).unwrap();
    let log = cluster.launch.home.log();
    cluster.stop().unwrap();
    assert!(fs::read_to_string(log).unwrap().contains("database system is shut down"));
}

#[test]
fn cluster_killed_while_being_made_is_made_again() {
    let temp = TempDir::new("half");
    let home = Home::find(
        near_dir(&temp.0.join("state")).unwrap(),
        &temp.0.join("base"),
        Durability::Throwaway,
    )
    .unwrap();
    let binaries = find_binaries(&home);
    let scrap = home.make_scrap().unwrap();
    let child = spawn(Spawn {
        args: vec!["-D".into(), scrap.clone().into(), "-A".into(), "trust".into()],
        env: Some(home.account.environment()),
        current_dir: Some("/".into()),
        user: home.account.switch(),
        stdout: Output::Null,
        stderr: Output::Null,
        program: binaries.join("initdb"),
    })
    .unwrap();
    poll(SOON, Duration::from_millis(1), || scrap.join("PG_VERSION").exists().then_some(()))
        .unwrap();
    child.signal(Signal::SIGKILL).unwrap();
    let cluster = open(&temp, Durability::Throwaway);
    write_row(&cluster);
    assert!(!scrap.exists());
}

#[test]
fn server_left_by_a_killed_agent_is_ended_and_its_rows_are_kept() {
    let temp = TempDir::new("orphan");
    let cluster = open(&temp, Durability::Durable);
    write_row(&cluster);
    let (home, bin) = (cluster.launch.home.clone(), cluster.launch.binaries.dir.clone());
    cluster.stop().unwrap();

    // Not by our own spawning, whose children die with us.
    let mut orphan = Command::new(bin.join("postgres"));
    orphan
        .arg("-D")
        .arg(home.data())
        .args(["-c", "listen_addresses="])
        .arg("-k")
        .arg(&home.dir.join("run"));
    if let Some((uid, gid)) = home.account.switch() {
        use std::os::unix::process::CommandExt;
        orphan.uid(uid).gid(gid);
    }
    orphan.env_clear().current_dir("/").stderr(std::process::Stdio::null());
    let mut orphan = orphan.spawn().unwrap();
    // The server removes its pid file when it has closed the data in order.
    let pid_file = home.data().join("postmaster.pid");
    let ready = || fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("ready"));
    poll(SOON, Duration::from_millis(5), || ready().then_some(())).unwrap();

    // Reaps, as the parent of an orphan would.
    let reaper = std::thread::spawn(move || orphan.wait().unwrap());
    let cluster = open(&temp, Durability::Durable);
    assert_eq!(count_rows(&cluster), 1);
    assert!(reaper.join().unwrap().success());
}

#[test]
fn pid_file_that_names_another_living_program_stops_nobody() {
    let temp = TempDir::new("stale");
    let cluster = open(&temp, Durability::Throwaway);
    let data = cluster.launch.home.data();
    cluster.stop().unwrap();
    // A process of the server's own user, so that Postgres could not tell by itself.
    let home =
        Home::find(near_dir(&temp.0.join("state")).unwrap(), Path::new(""), Durability::Throwaway);
    let account = home.unwrap().account;
    let other = Spawn { args: vec!["60".into()], user: account.switch(), ..Spawn::new("sleep") };
    let other = spawn(other).unwrap();
    let text = format!("{}\n{}\n1\n5432\n\n\n\n", other.pid(), data.display());
    fs::write(data.join("postmaster.pid"), text).unwrap();
    drop(open(&temp, Durability::Throwaway));
    assert!(other.is_running());
}

#[test]
fn data_of_another_major_version_is_refused_untouched() {
    let temp = TempDir::new("major");
    let data = near_dir(&temp.0.join("state")).unwrap().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("PG_VERSION"), "9\n").unwrap();
    if geteuid().is_root() {
        std::os::unix::fs::chown(&data, Some(65_534), Some(65_534)).unwrap();
    }
    let opened = Cluster::open_on(&machine(&temp), &options(&temp, Durability::Throwaway));
    assert!(matches!(opened, Err(ClusterError::Major { major: 9, .. })), "{opened:?}");
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
}

fn find_binaries(home: &Home) -> PathBuf {
    let machine = Machine::this();
    discover(&Search {
        choice: machine.choice.as_deref(),
        path: machine.path.as_deref(),
        cache: Some(&cache_dir()),
        base: &machine.base,
        account: &home.account,
        data: None,
    })
    .unwrap()
    .dir
}
