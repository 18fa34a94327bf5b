use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::http::access::House;

/// A client's end, and what the doorkeeper made of the other.
async fn pair(keeper: &Doorkeeper) -> (TcpStream, io::Result<(Line, Attended<()>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (client.unwrap(), keeper.accept(accepted.unwrap().0, ()).await)
}

#[tokio::test]
async fn whoever_asks_nothing_is_cut_off_whatever_else_they_send() {
    let house = House::new("idle");
    let keeper = Doorkeeper::new(Arc::new(Door::open(&house.settings("")).unwrap()));
    let (mut client, line) = pair(&keeper).await;
    let (mut line, attended) = line.ok().unwrap();
    let began = Instant::now();
    let dribbling = tokio::spawn(async move {
        while client.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut piece = [0; 16];
    let mut asked = 0;
    let ended = loop {
        match timeout(10 * IDLE_DEADLINE, line.read(&mut piece)).await.expect("an end") {
            // A request now and then keeps it.
            Ok(1..) if asked < 5 && began.elapsed() > IDLE_DEADLINE / 2 * (asked + 1) => {
                asked += 1;
                attended.activity.stamp();
            }
            Ok(1..) => {}
            other => break other,
        }
    };
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(asked, 5);
    assert!(began.elapsed() >= IDLE_DEADLINE / 2 * 5 + IDLE_DEADLINE, "{:?}", began.elapsed());
    drop(line);
    dribbling.await.unwrap();
}

#[tokio::test]
async fn there_is_room_for_so_many_and_for_the_next_when_one_goes() {
    let house = House::new("room");
    let keeper = Doorkeeper::new(Arc::new(Door::open(&house.settings("")).unwrap()));
    let mut held = Vec::new();
    for _ in 0..MOST {
        let (client, line) = pair(&keeper).await;
        held.push((client, line.ok().unwrap()));
    }
    assert!(pair(&keeper).await.1.is_err());
    held.pop();
    assert!(pair(&keeper).await.1.is_ok());
}
