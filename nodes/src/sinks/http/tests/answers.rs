//! What the other side says, and what follows from it.

use tokio::net::TcpListener;

use super::*;

async fn after(reply: Reply) -> (Bench, Server, Result<(), NodeError>) {
    let server = Server::script([reply]).await;
    let mut bench = Bench::new(&server.url(), json!({ "timeout": "2s" }));
    let answer = bench.values([1]).await;
    (bench, server, answer)
}

#[tokio::test]
async fn every_status_means_that_it_was_taken_or_comes_again_or_never_will() {
    for code in [200, 201, 202, 204, 299] {
        let (mut bench, _, answer) = after(Reply::status(code)).await;
        assert_eq!((answer, bench.refused()), (Ok(()), vec![]), "{code}");
    }
    for code in [300, 302, 401, 403, 407, 408, 425, 429, 500, 501, 502, 503, 504, 599] {
        let (mut bench, server, answer) = after(Reply::status(code)).await;
        let why = why(answer);
        assert!(why.starts_with(&format!("`{}` answered {code}", server.url())), "{why}");
        assert_eq!(bench.refused(), [], "{code}");
    }
    for code in [400, 402, 404, 405, 409, 410, 413, 415, 422, 451] {
        let (mut bench, server, answer) = after(Reply::status(code).body("not  like\nthis")).await;
        assert_eq!(answer, Ok(()), "{code}");
        let [(values, why)] = &bench.refused()[..] else { panic!("{code}") };
        assert_eq!(values, &[1]);
        assert!(why.ends_with(": not like this"), "{why}");
        bench.values([2]).await.unwrap();
        assert_eq!(values_in(&server.requests()[1]), [2], "the next one goes its way");
    }
}

#[tokio::test]
async fn one_wrong_item_does_not_take_its_neighbours_along() {
    for code in [400, 413, 422] {
        let server = Server::new(move |request| {
            Reply::status(if values_in(request).contains(&37) { code } else { 200 })
        })
        .await;
        let mut bench = Bench::new(&server.url(), json!({}));
        bench.values(0..100).await.unwrap();
        let [(values, why)] = &bench.refused()[..] else { panic!() };
        assert_eq!((&values[..], why.contains(&format!("answered {code}"))), (&[37][..], true));
        let taken: Vec<_> = server.answered(200).iter().flat_map(values_in).collect();
        assert_eq!(taken, (0..100).filter(|one| *one != 37).collect::<Vec<_>>());
        assert!(server.requests().len() < 20);
        let keys: Vec<_> =
            server.answered(200).iter().map(|one| one.header("idempotency-key")).collect();
        assert!(keys[0].ends_with("-1-25"), "{keys:?}");
    }
}

#[tokio::test]
async fn what_is_refused_as_a_whole_is_not_tried_item_by_item() {
    let server = Server::always(404).await;
    let mut bench = Bench::new(&server.url(), json!({}));
    bench.values(0..100).await.unwrap();
    assert_eq!(server.requests().len(), 1);
    assert_eq!(bench.refused()[0].0, (0..100).collect::<Vec<_>>());
    let server = Server::always(400).await;
    let mut bench = Bench::new(&server.url(), json!({}));
    bench.values(0..100).await.unwrap();
    assert!(server.requests().len() <= 20, "{}", server.requests().len());
    let refused: Vec<_> = bench.refused().into_iter().flat_map(|(values, _)| values).collect();
    assert_eq!(refused, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_settled_before_a_failure_stays_settled() {
    // 0 is wrong; 1 is taken; then the server is away in the middle of the parts.
    let mut answers = [422, 422, 422, 200, 503, 200].into_iter();
    let server = Server::new(move |_| Reply::status(answers.next().unwrap())).await;
    let mut bench = Bench::new(&server.url(), json!({}));
    let items = bench.readings(0..4);
    let batch = bench.batch(items);
    why(bench.sink.write(&batch).await);
    assert_eq!(bench.refused().iter().map(|one| one.0.clone()).collect::<Vec<_>>(), [[0]]);
    bench.sink.write(&batch).await.unwrap();
    let sent: Vec<_> = server.requests().iter().map(values_in).collect();
    assert_eq!(sent, [vec![0, 1, 2, 3], vec![0, 1], vec![0], vec![1], vec![2, 3], vec![2, 3]]);
    assert_eq!(bench.refused(), []);
}

#[tokio::test]
async fn a_server_that_asks_for_a_pause_gets_it() {
    for code in [429, 503] {
        let (mut bench, server, answer) =
            after(Reply::status(code).header("retry-after", "30")).await;
        why(answer);
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_millis(29_900)).await;
        let why = why(bench.values([2]).await);
        assert!(why.ends_with("asked for a pause, 1s more"), "{why}");
        assert_eq!(server.requests().len(), 1);
        tokio::time::advance(std::time::Duration::from_millis(200)).await;
        tokio::time::resume();
        bench.values([3]).await.unwrap();
        assert_eq!(server.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_server_that_is_slow_or_gone_is_tried_again() {
    let server = Server::script([Reply::Silence]).await;
    let mut bench = Bench::new(&server.url(), json!({ "timeout": "100ms" }));
    let said = why(bench.values([1]).await);
    assert_eq!(said, format!("`{}`: it did not answer in time", server.url()));
    bench.values([1]).await.unwrap();

    let (mut bench, server, answer) = after(Reply::Close).await;
    assert!(why(answer).starts_with(&format!("`{}`: ", server.url())));
    bench.values([1]).await.unwrap();
    assert_eq!(server.requests().len(), 2);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut bench = Bench::new(&nobody, json!({}));
    let said = why(bench.values([1]).await);
    assert!(said.contains("refused"), "{said}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_counts_by_its_status() {
    let torn = |code| Reply::status(code).header("content-length", "100").body("half");
    let (mut bench, _, answer) = after(torn(200)).await;
    assert_eq!((answer, bench.refused()), (Ok(()), vec![]));
    let (mut bench, _, answer) = after(torn(404)).await;
    assert_eq!(answer, Ok(()));
    assert!(bench.refused()[0].1.ends_with(": half"));
    let (_, _, answer) = after(torn(500)).await;
    why(answer);
}

#[tokio::test]
async fn a_redirect_is_followed_where_it_changes_nothing_but_the_path() {
    let server = Server::new(|request| match &*request.path {
        "/new" => Reply::status(200),
        _ => Reply::status(308).header("location", "/new"),
    })
    .await;
    let mut bench = Bench::new(&format!("{}/old", server.url()), json!({}));
    bench.values([1]).await.unwrap();
    let sent: Vec<_> =
        server.requests().iter().map(|one| (one.path.clone(), values_in(one))).collect();
    assert_eq!(sent, [("/old".into(), vec![1]), ("/new".into(), vec![1])]);

    let other = Server::always(200).await;
    let elsewhere = format!("http://localhost:{}/secret?token=hush", other.port());
    for (code, place) in [(302, "/new"), (303, "/new"), (307, &*elsewhere)] {
        let (_, server, answer) = after(Reply::status(code).header("location", place)).await;
        let why = why(answer);
        assert!(why.contains("leads elsewhere to `http://") && !why.contains("hush"), "{why}");
        assert_eq!((server.requests().len(), other.requests().len()), (1, 0));
    }

    let server = Server::new(|_| Reply::status(307).header("location", "/round")).await;
    let mut bench = Bench::new(&server.url(), json!({}));
    why(bench.values([1]).await);
    assert_eq!(server.requests().len(), 6, "a circle ends");
}
