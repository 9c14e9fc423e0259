//! The scripted server: which answer a request gets, what is recorded, and where connections break.

use std::io::ErrorKind;

use futures_util::future::join_all;
use lightsout_testkit::{Answer, Script, Scripted};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn calls(answers: impl Into<Vec<Answer>>) -> Scripted {
    Scripted::start(Script { token: Vec::new(), calls: answers.into() }).await
}

async fn connect(server: &Scripted) -> TcpStream {
    TcpStream::connect(server.url.trim_start_matches("http://")).await.expect("it listens")
}

/// Sends a request over the connection, and returns what comes until the connection closes.
async fn send_last(stream: &mut TcpStream, request: &str) -> Result<String, ErrorKind> {
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).await.map_err(|e| e.kind())?;
    stream.read_to_string(&mut answer).await.map_err(|e| e.kind())?;
    Ok(answer)
}

#[tokio::test]
async fn requests_on_one_connection_take_the_answers_in_order() {
    let server = Scripted::start(Script {
        token: vec![Answer::token("first", 3600)],
        calls: vec![Answer::text(200, "text/plain", "one"), Answer::empty(204).header("X-Test", "1")],
    })
    .await;
    let mut stream = connect(&server).await;
    let form = "a=1+2&b=%26";
    let answers = send_last(
        &mut stream,
        &format!(
            "GET /one?x=1 HTTP/1.1\r\n\r\n\
             POST /oauth2/token HTTP/1.1\r\nContent-Length: {}\r\n\r\n{form}\
             GET /two HTTP/1.1\r\nConnection: close\r\n\r\n",
            form.len()
        ),
    )
    .await
    .expect("it closes in order");
    let token = r#"{"access_token":"first","expires_in":3600,"restricted_to":[],"token_type":"bearer"}"#;
    assert_eq!(
        answers,
        format!(
            "HTTP/1.1 200 \r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\none\
             HTTP/1.1 200 \r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{token}\
             HTTP/1.1 204 \r\nx-test: 1\r\n\r\n",
            token.len()
        )
    );
    let received = server.requests();
    let paths: Vec<_> = received.iter().map(|r| (r.path.as_str(), r.query.as_str())).collect();
    assert_eq!(paths, [("/one", "x=1"), ("/oauth2/token", ""), ("/two", "")]);
    assert_eq!(received[2].header("connection"), Some("close"));
    let form = server.token_requests()[0].form();
    assert_eq!((form["a"].as_str(), form["b"].as_str()), ("1 2", "&"));
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_of_a_hundred_connections_gets_an_answer_of_its_own() {
    let numbers = 0..100_usize;
    let answers: Vec<Answer> = numbers.clone().map(|n| Answer::json(200, json!(n)).gated()).collect();
    let server = calls(answers).await;
    let client = reqwest::Client::new();
    let asked = numbers.map(|n| {
        let request = client.post(format!("{}/{n}", server.url)).json(&json!({"n": n}));
        tokio::spawn(async move { request.send().await?.json::<usize>().await })
    });
    let asked: Vec<_> = asked.collect();
    server.arrived(100).await;
    assert!(asked.iter().all(|task| !task.is_finished()), "every answer waits at the gate");
    server.release();
    let received = server.calls();
    for (n, answer) in join_all(asked).await.into_iter().enumerate() {
        let place = answer.expect("no panic").expect("an answer");
        assert_eq!(
            (received[place].path.clone(), received[place].json()),
            (format!("/{n}"), json!({"n": n}))
        );
    }
    assert_eq!(client.get(&server.url).send().await.expect("an answer").text().await.expect("text"), "99");
}

#[tokio::test]
async fn connections_break_where_the_script_says() {
    const REQUEST: &str = "POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
    let server = calls([
        Answer::drop_before_reading(),
        Answer::drop_after_reading(),
        Answer::json(200, json!("abcd")).cut(),
    ])
    .await;
    let reset = send_last(&mut connect(&server).await, REQUEST).await;
    assert_eq!(reset, Err(ErrorKind::ConnectionReset));
    let closed = send_last(&mut connect(&server).await, REQUEST).await;
    assert_eq!(closed, Ok(String::new()));
    let half = send_last(&mut connect(&server).await, REQUEST).await.expect("half of it");
    assert!(half.ends_with("content-length: 6\r\n\r\n\"ab"), "{half}");
    let methods: Vec<String> = server.calls().into_iter().map(|r| r.method).collect();
    assert_eq!(methods, ["", "POST", "POST"]);
}

#[tokio::test]
async fn request_without_a_scripted_answer_is_recorded() {
    let server = calls([]).await;
    let answer = reqwest::get(format!("{}/x", server.url)).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), server.calls().len()), (500, 1));
}

#[tokio::test]
async fn server_stops_when_it_is_dropped() {
    let server = calls([Answer::empty(200)]).await;
    let mut stream = connect(&server).await;
    let address = stream.peer_addr().expect("it is connected");
    drop(server);
    let mut rest = Vec::new();
    // The task ends when the runtime next runs it: the open connection ends, then nothing listens.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(TcpStream::connect(address).await.is_err());
}
