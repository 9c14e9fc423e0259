//! Pickles that Python and its frameworks really wrote, and crafted ones.

use proptest::prelude::*;

use super::*;

/// `pickle.dumps(value, protocol)` of CPython 3.13 for protocols 0 to 5, with `value = {"_auth_user_id":
/// "jos\u{e9}\\", "n": 7, "neg": -2**40, "f": 1.5, "none": None, "yes": True, "list": [1, "a"], "t4":
/// (1, 2, 3, 4), "bytes": b"ann", "set": {1}, "when": datetime.date(2026, 1, 2), "nested": {"user":
/// {"id": "ann"}}, "big": 2**63, "again": value["nested"]}`.
const PROTOCOLS: [&[u8]; 6] = [
    b"(dp0\x0aV_auth_user_id\x0ap1\x0aVjos\xe9\x5cu005c\x0ap2\x0asVn\x0ap3\x0aI7\x0asVneg\x0ap4\x0aL-1099511627776L\x0asVf\x0ap5\x0aF1.5\x0asVnone\x0ap6\x0aNsVyes\x0ap7\x0aI01\x0asVlist\x0ap8\x0a(lp9\x0aI1\x0aaVa\x0ap10\x0aasVt4\x0ap11\x0a(I1\x0aI2\x0aI3\x0aI4\x0atp12\x0asVbytes\x0ap13\x0ac_codecs\x0aencode\x0ap14\x0a(Vann\x0ap15\x0aVlatin1\x0ap16\x0atp17\x0aRp18\x0asVset\x0ap19\x0ac__builtin__\x0aset\x0ap20\x0a((lp21\x0aI1\x0aatp22\x0aRp23\x0asVwhen\x0ap24\x0acdatetime\x0adate\x0ap25\x0a(g14\x0a(V\x07\xea\x01\x02\x0ap26\x0ag16\x0atp27\x0aRp28\x0atp29\x0aRp30\x0asVnested\x0ap31\x0a(dp32\x0aVuser\x0ap33\x0a(dp34\x0aVid\x0ap35\x0aVann\x0ap36\x0asssVbig\x0ap37\x0aL9223372036854775808L\x0asVagain\x0ap38\x0ag32\x0as.",
    b"}q\x00(X\x0d\x00\x00\x00_auth_user_idq\x01X\x06\x00\x00\x00jos\xc3\xa9\x5cq\x02X\x01\x00\x00\x00nq\x03K\x07X\x03\x00\x00\x00negq\x04L-1099511627776L\x0aX\x01\x00\x00\x00fq\x05G?\xf8\x00\x00\x00\x00\x00\x00X\x04\x00\x00\x00noneq\x06NX\x03\x00\x00\x00yesq\x07I01\x0aX\x04\x00\x00\x00listq\x08]q\x09(K\x01X\x01\x00\x00\x00aq\x0aeX\x02\x00\x00\x00t4q\x0b(K\x01K\x02K\x03K\x04tq\x0cX\x05\x00\x00\x00bytesq\x0dc_codecs\x0aencode\x0aq\x0e(X\x03\x00\x00\x00annq\x0fX\x06\x00\x00\x00latin1q\x10tq\x11Rq\x12X\x03\x00\x00\x00setq\x13c__builtin__\x0aset\x0aq\x14(]q\x15K\x01atq\x16Rq\x17X\x04\x00\x00\x00whenq\x18cdatetime\x0adate\x0aq\x19(h\x0e(X\x05\x00\x00\x00\x07\xc3\xaa\x01\x02q\x1ah\x10tq\x1bRq\x1ctq\x1dRq\x1eX\x06\x00\x00\x00nestedq\x1f}q X\x04\x00\x00\x00userq!}q\x22X\x02\x00\x00\x00idq#X\x03\x00\x00\x00annq$ssX\x03\x00\x00\x00bigq%L9223372036854775808L\x0aX\x05\x00\x00\x00againq&h u.",
    b"\x80\x02}q\x00(X\x0d\x00\x00\x00_auth_user_idq\x01X\x06\x00\x00\x00jos\xc3\xa9\x5cq\x02X\x01\x00\x00\x00nq\x03K\x07X\x03\x00\x00\x00negq\x04\x8a\x06\x00\x00\x00\x00\x00\xffX\x01\x00\x00\x00fq\x05G?\xf8\x00\x00\x00\x00\x00\x00X\x04\x00\x00\x00noneq\x06NX\x03\x00\x00\x00yesq\x07\x88X\x04\x00\x00\x00listq\x08]q\x09(K\x01X\x01\x00\x00\x00aq\x0aeX\x02\x00\x00\x00t4q\x0b(K\x01K\x02K\x03K\x04tq\x0cX\x05\x00\x00\x00bytesq\x0dc_codecs\x0aencode\x0aq\x0eX\x03\x00\x00\x00annq\x0fX\x06\x00\x00\x00latin1q\x10\x86q\x11Rq\x12X\x03\x00\x00\x00setq\x13c__builtin__\x0aset\x0aq\x14]q\x15K\x01a\x85q\x16Rq\x17X\x04\x00\x00\x00whenq\x18cdatetime\x0adate\x0aq\x19h\x0eX\x05\x00\x00\x00\x07\xc3\xaa\x01\x02q\x1ah\x10\x86q\x1bRq\x1c\x85q\x1dRq\x1eX\x06\x00\x00\x00nestedq\x1f}q X\x04\x00\x00\x00userq!}q\x22X\x02\x00\x00\x00idq#X\x03\x00\x00\x00annq$ssX\x03\x00\x00\x00bigq%\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00X\x05\x00\x00\x00againq&h u.",
    b"\x80\x03}q\x00(X\x0d\x00\x00\x00_auth_user_idq\x01X\x06\x00\x00\x00jos\xc3\xa9\x5cq\x02X\x01\x00\x00\x00nq\x03K\x07X\x03\x00\x00\x00negq\x04\x8a\x06\x00\x00\x00\x00\x00\xffX\x01\x00\x00\x00fq\x05G?\xf8\x00\x00\x00\x00\x00\x00X\x04\x00\x00\x00noneq\x06NX\x03\x00\x00\x00yesq\x07\x88X\x04\x00\x00\x00listq\x08]q\x09(K\x01X\x01\x00\x00\x00aq\x0aeX\x02\x00\x00\x00t4q\x0b(K\x01K\x02K\x03K\x04tq\x0cX\x05\x00\x00\x00bytesq\x0dC\x03annq\x0eX\x03\x00\x00\x00setq\x0fcbuiltins\x0aset\x0aq\x10]q\x11K\x01a\x85q\x12Rq\x13X\x04\x00\x00\x00whenq\x14cdatetime\x0adate\x0aq\x15C\x04\x07\xea\x01\x02q\x16\x85q\x17Rq\x18X\x06\x00\x00\x00nestedq\x19}q\x1aX\x04\x00\x00\x00userq\x1b}q\x1cX\x02\x00\x00\x00idq\x1dX\x03\x00\x00\x00annq\x1essX\x03\x00\x00\x00bigq\x1f\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00X\x05\x00\x00\x00againq h\x1au.",
    b"\x80\x04\x95\xeb\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x0d_auth_user_id\x94\x8c\x06jos\xc3\xa9\x5c\x94\x8c\x01n\x94K\x07\x8c\x03neg\x94\x8a\x06\x00\x00\x00\x00\x00\xff\x8c\x01f\x94G?\xf8\x00\x00\x00\x00\x00\x00\x8c\x04none\x94N\x8c\x03yes\x94\x88\x8c\x04list\x94]\x94(K\x01\x8c\x01a\x94e\x8c\x02t4\x94(K\x01K\x02K\x03K\x04t\x94\x8c\x05bytes\x94C\x03ann\x94\x8c\x03set\x94\x8f\x94(K\x01\x90\x8c\x04when\x94\x8c\x08datetime\x94\x8c\x04date\x94\x93\x94C\x04\x07\xea\x01\x02\x94\x85\x94R\x94\x8c\x06nested\x94}\x94\x8c\x04user\x94}\x94\x8c\x02id\x94\x8c\x03ann\x94ss\x8c\x03big\x94\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00\x8c\x05again\x94h\x19u.",
    b"\x80\x05\x95\xeb\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x0d_auth_user_id\x94\x8c\x06jos\xc3\xa9\x5c\x94\x8c\x01n\x94K\x07\x8c\x03neg\x94\x8a\x06\x00\x00\x00\x00\x00\xff\x8c\x01f\x94G?\xf8\x00\x00\x00\x00\x00\x00\x8c\x04none\x94N\x8c\x03yes\x94\x88\x8c\x04list\x94]\x94(K\x01\x8c\x01a\x94e\x8c\x02t4\x94(K\x01K\x02K\x03K\x04t\x94\x8c\x05bytes\x94C\x03ann\x94\x8c\x03set\x94\x8f\x94(K\x01\x90\x8c\x04when\x94\x8c\x08datetime\x94\x8c\x04date\x94\x93\x94C\x04\x07\xea\x01\x02\x94\x85\x94R\x94\x8c\x06nested\x94}\x94\x8c\x04user\x94}\x94\x8c\x02id\x94\x8c\x03ann\x94ss\x8c\x03big\x94\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00\x8c\x05again\x94h\x19u.",
];

/// A session of Django 5.2.19 (`django.contrib.sessions.backends.cache` over `RedisCache`) with a
/// `datetime` in it. django-redis 7.0.0 writes the same with protocol 4.
const DJANGO: &[u8] = b"\x80\x05\x95\xa3\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x0d_auth_user_id\x94\x8c\x017\x94\x8c\x12_auth_user_backend\x94\x8c)django.contrib.auth.backends.ModelBackend\x94\x8c\x0f_auth_user_hash\x94\x8c\x04ab12\x94\x8c\x04last\x94\x8c\x08datetime\x94\x8c\x08datetime\x94\x93\x94C\x0a\x07\xea\x01\x02\x03\x04\x05\x00\x00\x00\x94\x85\x94R\x94u.";

/// What Flask-Session before 0.6 wrote: `pickle.dumps(dict(session))`.
const FLASK: &[u8] = b"\x80\x04\x95.\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x0a_permanent\x94\x88\x8c\x08_user_id\x94\x8c\x03ann\x94\x8c\x06_fresh\x94\x88u.";

fn at<const N: usize>(bytes: &[u8], path: [&str; N]) -> Option<String> {
    read(bytes, &[&Path::new(path)]).expect("a pickle").remove(0).map(Scalar::into_text)
}

#[test]
fn every_protocol_is_read() {
    for (protocol, bytes) in PROTOCOLS.iter().enumerate() {
        let at = |path: &[&str]| {
            read(bytes, &[&Path::new(path.iter().copied())])
                .expect("a pickle")
                .remove(0)
                .map(Scalar::into_text)
        };
        let expected: [(&[&str], Option<&str>); 12] = [
            (&["_auth_user_id"], Some("jos\u{e9}\\")),
            (&["n"], Some("7")),
            (&["neg"], Some("-1099511627776")),
            (&["big"], Some("9223372036854775808")),
            (&["f"], Some("1.5")),
            (&["none"], None),
            (&["yes"], None),
            (&["list", "1"], Some("a")),
            (&["t4", "3"], Some("4")),
            (&["nested", "user", "id"], Some("ann")),
            (&["again", "user", "id"], Some("ann")),
            (&["when"], None),
        ];
        for (path, text) in expected {
            assert_eq!(at(path).as_deref(), text, "{path:?} in protocol {protocol}");
        }
        // Before protocol 3, bytes are written as a call.
        assert_eq!(at(&["bytes"]).as_deref(), (protocol >= 3).then_some("ann"));
    }
}

#[test]
fn real_sessions_are_read() {
    assert_eq!(at(DJANGO, ["_auth_user_id"]).as_deref(), Some("7"));
    assert_eq!(at(DJANGO, ["last"]), None);
    assert_eq!(at(FLASK, ["_user_id"]).as_deref(), Some("ann"));
}

#[test]
fn calls_are_passed_over() {
    // os.system("touch /tmp/x") as the value of a key beside the user's.
    let call = b"(dVx\ncos\nsystem\n(Vtouch /tmp/x\ntRsVuser\nVann\ns.";
    assert_eq!(at(call, ["user"]).as_deref(), Some("ann"));
    assert_eq!(at(call, ["x"]), None);
    // The whole value is what a call gives, or what a restored object holds.
    for whole in
        [&b"\x80\x02cos\nsystem\n(Vid\ntR."[..], b"\x80\x02ccollections\nOrderedDict\n)R(Vuser\nVann\nu."]
    {
        assert_eq!(read(whole, &[]), Err(Unreadable("a pickle, but not of a dict")));
    }
}

#[test]
fn sharing_does_not_blow_up_and_circles_end() {
    // Thirty lists, each holding the one before twice: 2^30 if they were copied.
    let mut bomb = b"\x80\x04}\x8c\x04user\x8c\x03anns\x8c\x01x]\x94".to_vec();
    for _ in 0..30 {
        bomb.extend(b"2\x86\x94");
    }
    bomb.extend(b"s.");
    assert_eq!(at(&bomb, ["user"]).as_deref(), Some("ann"));
    let circle = b"}q\x00(X\x01\x00\x00\x00ah\x00X\x04\x00\x00\x00userX\x03\x00\x00\x00annu.";
    assert_eq!(at(circle, ["a", "a", "a", "user"]).as_deref(), Some("ann"));
}

#[test]
fn lengths_that_lie_missing_operands_and_endless_values_are_refused() {
    for broken in [
        &b""[..],
        b".",
        b"}",
        b"X\xff\xff\xff\xffa.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x8b\xff\xff\xff\xff.",
        b"(.",
        b"}(Va\nu.",
        b"h\x00.",
        b"(}0s.",
        b"R.",
        b"\xff.",
        b"V\\u12\n.",
    ] {
        assert_eq!(read(broken, &[]), Err(BROKEN), "{broken:?}");
    }
    let mut endless = vec![b'}'];
    endless.extend(std::iter::repeat_n(b'2', OPCODES_MAX));
    endless.push(b'.');
    assert_eq!(read(&endless, &[]), Err(Unreadable("a pickle of too many steps")));
    let deep = [vec![b'('; 400_000], vec![b'l'; 400_000], vec![b'.']].concat();
    assert!(read(&deep, &[]).is_err(), "and is dropped without recursion");
}

proptest! {
    #[test]
    fn opcodes_in_any_order_build_no_more_than_they_are(
        bytes in proptest::collection::vec(
            prop_oneof![
                proptest::sample::select(&b".(012N}du]lat)es\x85\x86\x87\x88\x89\x8f\x90\x91\x94Rb\x81\x92\x93oQ"[..]),
                any::<u8>(),
            ],
            0..300,
        ),
    ) {
        let mut machine = Machine {
            input: &bytes, things: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(),
        };
        let _ = machine.run();
        let items = |thing: &Thing<'_>| match thing {
            Thing::List(items) => items.len(),
            Thing::Dict(pairs) => pairs.len() * 2,
            _ => 1,
        };
        prop_assert!(machine.things.iter().map(items).sum::<usize>() <= 2 * bytes.len());
        prop_assert!(machine.stack.len() + machine.memo.len() <= 2 * bytes.len());
    }

    #[test]
    fn broken_pickles_never_panic(at in 0..PROTOCOLS[4].len(), byte in any::<u8>(), protocol in 0..6_usize) {
        let mut bytes = PROTOCOLS[protocol].to_vec();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        let _ = read(&bytes, &[&Path::new(["nested", "user", "id"])]);
        let _ = read(&bytes[..at.min(bytes.len())], &[]);
    }
}
