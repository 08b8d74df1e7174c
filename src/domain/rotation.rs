//! A password that changes while servers run: which ones they are to accept, and what comes next once all of them do.
//! Knows neither Secrets nor connections; what time it is is an argument.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::auth::Password;

/// Time for which the former password is accepted beside the new one: longer than the kubelet needs to update a changed
/// Secret in the pods that mount it.
pub const OVERLAP: SignedDuration = SignedDuration::from_mins(5);
/// The longest time from now that the former password is accepted, whatever the Secret says.
pub const LONGEST_OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// The state of the password rotation, as recorded in the Secret of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The password that a server starts with.
    pub current: Password,
    /// The one before it, while it is accepted too.
    pub former: Option<Former>,
}

/// A password that is being replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// The password.
    pub password: Password,
    /// Until when the servers accept it.
    pub until: Timestamp,
}

/// A look at a password that changes.
#[derive(Clone, Copy, Debug)]
pub struct Rotation<'a> {
    /// The present contents of the Secret.
    pub keys: &'a Keys,
    /// The desired password.
    pub wanted: &'a Password,
    /// The time of the look.
    pub now: Timestamp,
}

/// The next step once every running server accepts the required passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the servers accept one password.
    Settled,
    /// The former password is accepted until then.
    Overlap(Timestamp),
    /// The new password is accepted, and becomes the current one when the former one of an earlier change has gone.
    Later(Timestamp),
    /// The Secret is to follow: the new password is the current one.
    Follow(Keys),
    /// The Secret is to forget the former password, which no server accepts any more.
    Forget(Keys),
}

impl Keys {
    /// One password.
    #[must_use]
    pub const fn one(current: Password) -> Self {
        Self { current, former: None }
    }

    /// The next password, with the present one as its former one.
    #[must_use]
    pub fn succeeded_by(&self, next: &Password, now: Timestamp) -> Self {
        let until = now.checked_add(OVERLAP).unwrap_or(Timestamp::MAX);
        let former = (self.current != *next).then(|| Former { password: self.current.clone(), until });
        Self { current: next.clone(), former }
    }
}

impl Former {
    /// The former password, accepted for [`LONGEST_OVERLAP`] at most.
    #[must_use]
    pub fn bounded(self, now: Timestamp) -> Self {
        let latest = now.checked_add(LONGEST_OVERLAP).unwrap_or(Timestamp::MAX);
        Self { until: self.until.min(latest), ..self }
    }
}

impl<'a> Rotation<'a> {
    /// The passwords that every running server has to accept, and no other.
    #[must_use]
    pub fn accepted(&self) -> Vec<&'a Password> {
        let former = self.keys.former.as_ref().filter(|former| self.now < former.until);
        let mut accepted = vec![&self.keys.current];
        for password in [Some(self.wanted), former.map(|former| &former.password)].into_iter().flatten() {
            if !accepted.contains(&password) {
                accepted.push(password);
            }
        }
        accepted
    }

    /// The passwords that a server which accepts these digests has to be given.
    #[must_use]
    pub fn lacking(&self, held: &BTreeSet<String>) -> Vec<&'a Password> {
        self.accepted().into_iter().filter(|password| !held.contains(&password.digest())).collect()
    }

    /// The digests of what it accepts and should not.
    #[must_use]
    pub fn surplus(&self, held: &BTreeSet<String>) -> Vec<String> {
        let accepted: BTreeSet<String> = self.accepted().into_iter().map(Password::digest).collect();
        held.difference(&accepted).cloned().collect()
    }

    /// The next step once every running server accepts these passwords and no other.
    #[must_use]
    pub fn next(&self) -> Step {
        let open = self.keys.former.as_ref().filter(|former| self.now < former.until);
        if self.keys.current != *self.wanted {
            return match open {
                // The former password is accepted until its deadline; returning to it does not introduce a third
                // password.
                Some(former) if former.password != *self.wanted => Step::Later(former.until),
                _ => Step::Follow(self.keys.succeeded_by(self.wanted, self.now)),
            };
        }
        match (&self.keys.former, open) {
            (None, _) => Step::Settled,
            (Some(_), Some(former)) => Step::Overlap(former.until),
            (Some(_), None) => Step::Forget(Keys::one(self.keys.current.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::parse(Some(text.as_bytes())).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn keys(current: &str, former: Option<(&str, i64)>) -> Keys {
        let former = former.map(|(former, until)| Former { password: password(former), until: at(until) });
        Keys { current: password(current), former }
    }

    #[test]
    fn each_state_has_its_passwords_and_its_next_step() {
        let over = OVERLAP.as_secs();
        for (current, former, wanted, now, accepted, step) in [
            ("a", None, "a", 0, "a", Step::Settled),
            ("a", None, "b", 0, "a b", Step::Follow(keys("b", Some(("a", over))))),
            ("b", Some(("a", over)), "b", 0, "b a", Step::Overlap(at(over))),
            ("b", Some(("a", over)), "b", over - 1, "b a", Step::Overlap(at(over))),
            ("b", Some(("a", over)), "b", over, "b", Step::Forget(keys("b", None))),
            // A third one is accepted at once, and the first keeps its time.
            ("b", Some(("a", over)), "c", 1, "b c a", Step::Later(at(over))),
            ("b", Some(("a", over)), "c", over, "b c", Step::Follow(keys("c", Some(("b", 2 * over))))),
            // Taken back.
            ("b", Some(("a", over)), "a", 1, "b a", Step::Follow(keys("a", Some(("b", over + 1))))),
            ("a", Some(("a", over)), "a", 1, "a", Step::Overlap(at(over))),
        ] {
            let (keys, wanted) = (keys(current, former), password(wanted));
            let rotation = Rotation { keys: &keys, wanted: &wanted, now: at(now) };
            let expected: Vec<Password> = accepted.split(' ').map(password).collect();
            let told = format!("{current} after {former:?}, at {now}");
            assert_eq!(rotation.accepted(), expected.iter().collect::<Vec<_>>(), "{told}");
            assert_eq!(rotation.next(), step, "{told}");
        }
    }

    #[test]
    fn a_server_is_given_what_it_lacks_and_loses_what_is_not_the_secrets() {
        let (keys, wanted) = (keys("b", Some(("a", 9))), password("b"));
        let held = |texts: &str| texts.split_whitespace().map(|text| password(text).digest()).collect::<BTreeSet<_>>();
        for (now, accepts, lacks, surplus) in [
            (0, "b", "a", ""),
            (0, "a", "b", ""),
            (0, "a b", "", ""),
            (0, "a b x", "", "x"),
            (9, "a b", "", "a"),
            (9, "a", "b", "a"),
        ] {
            let rotation = Rotation { keys: &keys, wanted: &wanted, now: at(now) };
            let lacking: BTreeSet<String> =
                rotation.lacking(&held(accepts)).into_iter().map(Password::digest).collect();
            assert_eq!(lacking, held(lacks), "{accepts} at {now}");
            assert_eq!(rotation.surplus(&held(accepts)).into_iter().collect::<BTreeSet<_>>(), held(surplus));
        }
    }

    #[test]
    fn a_former_password_is_accepted_for_a_day_at_most() {
        let until = |until: Timestamp| Former { password: password("a"), until }.bounded(at(9)).until;
        assert_eq!(until(Timestamp::MAX), at(9 + LONGEST_OVERLAP.as_secs()));
        assert_eq!(until(at(9 + OVERLAP.as_secs())), at(9 + OVERLAP.as_secs()));
        assert_eq!(until(Timestamp::MIN), Timestamp::MIN);
    }

    #[test]
    fn the_one_that_is_there_is_not_its_own_former_one() {
        assert_eq!(keys("a", None).succeeded_by(&password("a"), at(0)), keys("a", None));
    }
}
