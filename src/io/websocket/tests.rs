//! Two real ends on loopback.

use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;

use super::*;

type Peer = WebSocketStream<TcpStream>;

const PATIENCE: Duration = Duration::from_secs(10);

fn options() -> Options {
    let first = Duration::from_millis(5);
    Options { frames_max: 8, backoff_first: first, backoff_max: first * 4, ..Options::default() }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws/x", listener.local_addr().unwrap());
    (listener, url)
}

async fn accept(listener: &TcpListener) -> Peer {
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    accept_async(stream).await.unwrap()
}

async fn event(socket: &mut Socket) -> SocketEvent {
    timeout(PATIENCE, socket.frames.recv()).await.unwrap().unwrap()
}

async fn start(options: Options) -> (TcpListener, Socket, Peer) {
    let (listener, url) = listen().await;
    let mut socket = connect(url, options);
    let peer = accept(&listener).await;
    assert_eq!(event(&mut socket).await, SocketEvent::Opened);
    (listener, socket, peer)
}

fn frame(text: &str) -> SocketEvent {
    SocketEvent::Frame(text.as_bytes().to_vec())
}

#[tokio::test]
async fn frames_flow_both_ways_and_pings_are_answered() {
    let (_listener, mut socket, mut peer) = start(options()).await;
    peer.send(Message::text("a")).await.unwrap();
    peer.send(Message::binary(&b"b"[..])).await.unwrap();
    assert_eq!(event(&mut socket).await, frame("a"));
    assert_eq!(event(&mut socket).await, frame("b"));
    socket.outgoing.send("sub".to_owned()).await.unwrap();
    assert_eq!(peer.next().await.unwrap().unwrap(), Message::text("sub"));
    peer.send(Message::Ping("p".into())).await.unwrap();
    let pong = timeout(PATIENCE, peer.next()).await.unwrap();
    assert_eq!(pong.unwrap().unwrap(), Message::Pong("p".into()));
}

#[tokio::test]
async fn a_closed_connection_is_told_and_opened_again() {
    let (listener, mut socket, mut peer) = start(options()).await;
    peer.close(None).await.unwrap();
    let closed = event(&mut socket).await;
    assert!(matches!(closed, SocketEvent::Closed { why: CloseWhy::Remote(_) }), "{closed:?}");
    // Meant for the connection that is gone.
    socket.outgoing.send("old".to_owned()).await.unwrap();
    let mut peer = accept(&listener).await;
    assert_eq!(event(&mut socket).await, SocketEvent::Opened);
    socket.outgoing.send("new".to_owned()).await.unwrap();
    assert_eq!(peer.next().await.unwrap().unwrap(), Message::text("new"));
    drop(peer);
    let closed = event(&mut socket).await;
    assert!(matches!(closed, SocketEvent::Closed { .. }), "{closed:?}");
}

#[tokio::test]
async fn a_slow_reader_gets_its_frames_and_then_the_end() {
    let (_listener, mut socket, mut peer) = start(options()).await;
    for n in 0..100 {
        if peer.send(Message::text(n.to_string())).await.is_err() {
            break;
        }
    }
    // The queue is full by now; nothing was read yet.
    while peer.next().await.is_some_and(|message| message.is_ok()) {}
    for n in 0..options().frames_max {
        assert_eq!(event(&mut socket).await, frame(&n.to_string()));
    }
    let closed = SocketEvent::Closed { why: CloseWhy::SlowReader };
    assert_eq!(event(&mut socket).await, closed);
}

#[tokio::test]
async fn a_message_over_the_bound_closes_the_connection() {
    let (_listener, mut socket, mut peer) =
        start(Options { max_message_bytes: 10, ..options() }).await;
    peer.send(Message::text("0123456789")).await.unwrap();
    assert_eq!(event(&mut socket).await, frame("0123456789"));
    peer.send(Message::text("0123456789a")).await.unwrap();
    let closed = event(&mut socket).await;
    assert!(matches!(closed, SocketEvent::Closed { why: CloseWhy::Broken(_) }), "{closed:?}");
}

#[tokio::test]
async fn a_dead_peer_is_noticed_and_a_quiet_one_is_not() {
    let idle = Options { idle_timeout: Duration::from_millis(200), ..options() };
    // Never polled again: no pong will come.
    let (_listener, mut socket, _peer) = start(idle).await;
    assert_eq!(event(&mut socket).await, SocketEvent::Closed { why: CloseWhy::Idle });
    let (_listener, mut socket, mut peer) = start(idle).await;
    let mut pings = 0;
    while pings < 3 {
        let message = timeout(PATIENCE, peer.next()).await.unwrap().unwrap().unwrap();
        pings += u32::from(message.is_ping());
    }
    assert!(socket.frames.try_recv().is_err(), "still open");
}

#[tokio::test]
async fn a_refused_connection_is_told_and_tried_again() {
    let (listener, url) = listen().await;
    drop(listener);
    let mut socket = connect(url, options());
    for _ in 0..2 {
        let closed = event(&mut socket).await;
        assert!(matches!(closed, SocketEvent::Closed { why: CloseWhy::Refused(_) }));
    }
}

#[tokio::test]
async fn the_owner_can_ask_for_another_connection_and_for_the_end() {
    let (listener, mut socket, _peer) = start(options()).await;
    socket.reconnect.notify_one();
    assert_eq!(event(&mut socket).await, SocketEvent::Closed { why: CloseWhy::Asked });
    let _peer = accept(&listener).await;
    assert_eq!(event(&mut socket).await, SocketEvent::Opened);
    let Socket { frames, task, .. } = socket;
    drop(frames);
    timeout(PATIENCE, task).await.unwrap().unwrap();
}

#[test]
fn backoff_doubles_to_its_cap() {
    let options = Options::default();
    let steps: Vec<u128> =
        [0, 1, 2, 4, 5, 6, 40].iter().map(|n| backoff(&options, *n).as_millis()).collect();
    assert_eq!(steps, [250, 500, 1_000, 4_000, 8_000, 8_000, 8_000]);
}
