//! The values that labels can have: each label is an enumeration, so the number of series is bounded by this file.
//! docs/metrics.md explains every one.

macro_rules! label {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $variant:ident => $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$meaning])* $variant,)+ }

        impl $name {
            /// Every value the label can have.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The value as it is shown.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

mod reconcile;
mod request;
mod webhook;

pub use self::{
    reconcile::{Failure, LiveConfig, Reconciled, RoleChange},
    request::{Kind, Outcome, Verb},
    webhook::{ConnectionRefusal, Listener, Renewal, RequestRefusal, Verdict, Webhook},
};
