//! What becomes of codes and refresh tokens that are shown again: pure decisions (RFC 6749, RFC 7636,
//! RFC 9700).

use crate::random::sha256;

/// How long the predecessor of a refresh token is taken once more: the answer that held the new one may
/// have been lost, and SDKs then send the same request again.
pub const RESEND_MS: i64 = 30_000;

/// Whether a text has the form of an S256 challenge: SHA-256 in base64url (RFC 7636, section 4.2).
pub fn is_challenge(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// Whether a verifier is the one that a challenge was made of (S256).
pub fn verifies(challenge: &str, verifier: &str) -> bool {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    (43..=128).contains(&verifier.len())
        && verifier.bytes().all(unreserved)
        // Both are digests: how far a comparison gets tells a guesser nothing.
        && sha256(verifier) == challenge
}

/// Why a code is not exchanged although it is unused, unexpired and the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The redirect URI is not the one of the request.
    RedirectUri,
    /// The verifier does not belong to the challenge.
    Verifier,
    /// There was a challenge, and no verifier came.
    VerifierMissing,
    /// A verifier came, and there was no challenge: somebody took it away (RFC 9700, section 4.8.2).
    ChallengeMissing,
}

/// What a code was asked for with, and what it is shown with.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// Where the code was sent.
    pub redirect_uri: &'a str,
    /// The challenge of the request.
    pub challenge: Option<&'a str>,
    /// Whether the app has one redirect URI only, so that it could have been no other.
    pub only_one: bool,
    /// The redirect URI that is sent now.
    pub sent_redirect_uri: Option<&'a str>,
    /// The verifier that is sent now.
    pub sent_verifier: Option<&'a str>,
}

impl Exchange<'_> {
    /// Whether who shows the code is who asked for it.
    ///
    /// Box's SDKs never repeat the redirect URI. What it proves (that the code did not come by another of
    /// the app's URIs) is certain without it where there is one URI only, or where a verifier proves more.
    pub fn check(&self) -> Result<(), Mismatch> {
        let same = match self.sent_redirect_uri {
            Some(sent) => sent == self.redirect_uri,
            None => self.only_one || self.challenge.is_some(),
        };
        if !same {
            return Err(Mismatch::RedirectUri);
        }
        match (self.challenge, self.sent_verifier) {
            (None, None) => Ok(()),
            (Some(_), None) => Err(Mismatch::VerifierMissing),
            (None, Some(_)) => Err(Mismatch::ChallengeMissing),
            (Some(challenge), Some(verifier)) if verifies(challenge, verifier) => Ok(()),
            (Some(_), Some(_)) => Err(Mismatch::Verifier),
        }
    }
}

/// A refresh token that is shown, and what became of those beside and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// When it was used first.
    pub used_at: Option<i64>,
    /// When it expires.
    pub expires_at: i64,
    /// Whether anything that it was exchanged for was used: a refresh token, or an access token.
    pub successor_used: bool,
    /// Whether another refresh token that came of the same predecessor was used, or the access token that was
    /// given with it.
    pub sibling_used: bool,
}

/// What to do with a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Give a new one for it.
    Rotate,
    /// Give another new one: the first may not have arrived. Both are good until one is used.
    RotateAgain,
    /// It was used before, or its twin was: one of two holders has stolen it. Nobody keeps anything.
    RevokeFamily,
    /// It expired.
    Refuse,
}

/// Decides about a refresh token of a grant that stands.
pub fn refresh(shown: Shown, now: i64) -> Verdict {
    match shown.used_at {
        _ if shown.sibling_used => Verdict::RevokeFamily,
        None if now >= shown.expires_at => Verdict::Refuse,
        None => Verdict::Rotate,
        // Should the clock be set back, the time since the first use counts as none.
        Some(used_at) if now - used_at <= RESEND_MS && !shown.successor_used && now < shown.expires_at => {
            Verdict::RotateAgain
        }
        Some(_) => Verdict::RevokeFamily,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_rfc_verifies() {
        assert!(is_challenge(CHALLENGE) && verifies(CHALLENGE, VERIFIER));
        assert!(!verifies(VERIFIER, VERIFIER), "plain");
        for short in ["", &VERIFIER[..42]] {
            assert!(!verifies(&sha256(short), short), "too short to be hard to guess");
        }
        for odd in ["x".repeat(129), format!("{VERIFIER} "), format!("{VERIFIER}ä"), format!("{VERIFIER}=")]
        {
            assert!(!verifies(&sha256(&odd), &odd), "{odd}");
        }
        for odd in ["", &CHALLENGE[..42], &format!("{CHALLENGE}="), &CHALLENGE.replace('-', "+")] {
            assert!(!is_challenge(odd), "{odd}");
        }
    }

    #[test]
    fn a_code_is_bound_to_its_request() {
        let (a, b) = ("https://a.example/", "https://b.example/");
        let wrong = "x".repeat(43);
        let c = Some(CHALLENGE);
        let v = Some(VERIFIER);
        for (challenge, only_one, sent, verifier, expected) in [
            (None, false, Some(a), None, Ok(())),
            (None, false, Some(b), None, Err(Mismatch::RedirectUri)),
            (None, true, Some(b), None, Err(Mismatch::RedirectUri)),
            (None, false, None, None, Err(Mismatch::RedirectUri)),
            (None, true, None, None, Ok(())),
            (c, false, None, v, Ok(())),
            (c, false, Some(b), v, Err(Mismatch::RedirectUri)),
            (c, false, None, None, Err(Mismatch::VerifierMissing)),
            (c, true, Some(a), v, Ok(())),
            (c, true, Some(a), None, Err(Mismatch::VerifierMissing)),
            (None, true, Some(a), v, Err(Mismatch::ChallengeMissing)),
            (c, true, Some(a), Some(wrong.as_str()), Err(Mismatch::Verifier)),
            (c, true, Some(a), c, Err(Mismatch::Verifier)),
        ] {
            let exchange = Exchange {
                redirect_uri: a,
                challenge,
                only_one,
                sent_redirect_uri: sent,
                sent_verifier: verifier,
            };
            assert_eq!(exchange.check(), expected, "{exchange:?}");
        }
    }

    #[test]
    fn what_becomes_of_a_refresh_token() {
        let fresh =
            Shown { used_at: None, expires_at: 1_000_000, successor_used: false, sibling_used: false };
        let used = Shown { used_at: Some(100), ..fresh };
        for (shown, now, verdict) in [
            (fresh, 0, Verdict::Rotate),
            (fresh, 999_999, Verdict::Rotate),
            (fresh, 1_000_000, Verdict::Refuse),
            (used, 100, Verdict::RotateAgain),
            (used, 100 + RESEND_MS, Verdict::RotateAgain),
            (used, 101 + RESEND_MS, Verdict::RevokeFamily),
            (used, 50, Verdict::RotateAgain),
            (Shown { successor_used: true, ..used }, 101, Verdict::RevokeFamily),
            (Shown { sibling_used: true, ..fresh }, 101, Verdict::RevokeFamily),
            (Shown { sibling_used: true, ..used }, 101, Verdict::RevokeFamily),
            (Shown { sibling_used: true, ..fresh }, 1_000_000, Verdict::RevokeFamily),
            (used, 1_000_000, Verdict::RevokeFamily),
        ] {
            assert_eq!(refresh(shown, now), verdict, "{shown:?} at {now}");
        }
    }

    /// A family as the store keeps it, to play whole stories.
    #[derive(Default)]
    struct Family {
        /// Parent, when it was first used.
        tokens: Vec<(Option<usize>, Option<i64>)>,
        revoked: bool,
    }

    impl Family {
        fn show(&mut self, n: usize, now: i64) -> Option<usize> {
            if self.revoked {
                return None;
            }
            let (parent, used_at) = self.tokens[n];
            let used = |of: Option<usize>, but: usize| {
                self.tokens
                    .iter()
                    .enumerate()
                    .any(|(m, (p, at))| *p == of && p.is_some() && m != but && at.is_some())
            };
            let shown = Shown {
                used_at,
                expires_at: i64::MAX,
                successor_used: used(Some(n), n),
                sibling_used: used(parent, n),
            };
            match refresh(shown, now) {
                Verdict::Rotate | Verdict::RotateAgain => {
                    self.tokens[n].1.get_or_insert(now);
                    self.tokens.push((Some(n), None));
                    Some(self.tokens.len() - 1)
                }
                Verdict::RevokeFamily => {
                    self.revoked = true;
                    None
                }
                Verdict::Refuse => None,
            }
        }
    }

    proptest! {
        /// Whoever shows whatever, whenever: of two that came of one token, one alone is ever exchanged.
        #[test]
        fn a_family_never_lives_on_in_two_branches(shows in prop::collection::vec((0_usize..12, 0_i64..40_000), 1..30)) {
            let mut family = Family { tokens: vec![(None, None)], revoked: false };
            let mut now = 0;
            for (n, later) in shows {
                now += later;
                let n = n % family.tokens.len();
                family.show(n, now);
                for (parent, _) in family.tokens.clone() {
                    let used = family.tokens.iter().filter(|(p, at)| *p == parent && parent.is_some() && at.is_some());
                    prop_assert!(used.count() <= 1);
                }
            }
        }

        /// A client that repeats a request whose answer was lost goes on, as often as that happens.
        #[test]
        fn a_client_that_resends_is_never_cut_off(lost in prop::collection::vec(0_usize..4, 1..10)) {
            let mut family = Family { tokens: vec![(None, None)], revoked: false };
            let (mut holds, mut now) = (0, 0);
            for times in lost {
                now += 3_600_000;
                for _ in 0..times {
                    prop_assert!(family.show(holds, now).is_some());
                    now += 5_000;
                }
                holds = family.show(holds, now).expect("it goes on");
            }
        }

        /// A thief and an owner who both go on end both.
        #[test]
        fn two_holders_end_each_other(thief_first: bool, pause in 0_i64..100_000) {
            let mut family = Family { tokens: vec![(None, None)], revoked: false };
            let (mut thief, mut owner) = (Some(0), Some(0));
            for turn in 0..4 {
                let holder = if (turn % 2 == 0) == thief_first { &mut thief } else { &mut owner };
                *holder = holder.and_then(|n| family.show(n, pause * i64::from(turn)));
            }
            prop_assert!(family.revoked);
        }
    }
}
