//! Every reason of a condition, a change of phase or an event. `docs/status.md` and `docs/events.md` explain each; a
//! test compares them with this list.

use std::fmt;

/// The type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// It goes as it should.
    Normal,
    /// Needs attention.
    Warning,
}

const NORMAL: Option<Urgency> = Some(Urgency::Normal);
const WARNING: Option<Urgency> = Some(Urgency::Warning);

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $event:expr,)*) => {
        /// One CamelCase word that programs may compare.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The type of an event with this reason; `None` for reasons that are never emitted as events.
            #[must_use]
            pub const fn urgency(self) -> Option<Urgency> {
                match self { $(Self::$name => $event,)* }
            }
        }
    };
}

reasons! {
    /// The children are being made, or their controller has not seen them yet.
    Creating None,
    /// A pod is not there or not ready.
    PodsNotReady None,
    /// Every pod serves.
    Ready NORMAL,
    /// The instance is being deleted and its children are going.
    Deleting None,

    /// The rollout of a pod template is in progress.
    RollingOut None,
    /// The StatefulSet is deleted with its pods and created again.
    Recreating None,
    /// Pods are being added or taken away.
    Scaling None,
    /// The volumes are asked to grow.
    Expanding None,
    /// The volumes move to another StorageClass, or one whose claim was deleted is replaced, pod by pod.
    Migrating None,

    /// A change that the running servers were given; no pod restarted.
    AppliedLive NORMAL,
    /// A change of the data files is brought to the running servers; the ConfigMap and restarts wait for it.
    PersistenceChange NORMAL,
    /// A change restarts the pods one at a time.
    RollingUpdate NORMAL,
    /// A change restarts all pods at once, as the update policy asks for.
    Recreate NORMAL,
    /// A change adds pods or takes them away.
    Scale NORMAL,
    /// A change grows the volumes.
    Expand NORMAL,
    /// A change moves the volumes to another StorageClass, one pod at a time.
    Migrate NORMAL,
    /// A change that has no safe way; nothing is done about it.
    Refused WARNING,

    /// The stored spec is invalid.
    InvalidSpec WARNING,
    /// The name of a child is taken.
    Conflict WARNING,
    /// The API server refuses a write.
    Rejected WARNING,
    /// A reconcile keeps failing, though nothing was rejected.
    ReconcileFailing WARNING,
    /// A child of a deleted instance of this name is still there.
    PredecessorLeaving None,
    /// The user's Secret is not there.
    SecretNotFound WARNING,
    /// The user's Secret holds no usable password.
    PasswordUnusable WARNING,
    /// The password changes, and the servers accept the former one too.
    PasswordChanged NORMAL,
    /// The servers accept the password of the Secret and no other.
    PasswordRotated NORMAL,

    /// The API server rejects a pod, or its claim.
    PodsRejected WARNING,
    /// No node takes a pod.
    Unschedulable WARNING,
    /// A pod's volume is not there.
    VolumePending None,
    /// A pod's image cannot be pulled.
    ImagePullFailed WARNING,
    /// Redis refuses its configuration.
    ConfigRejected WARNING,
    /// Redis ends again and again.
    RedisCrashes WARNING,
    /// Redis cannot read data that a later version or another engine wrote.
    DataUnreadable WARNING,
    /// Redis was killed for using more than its memory limit.
    OutOfMemory WARNING,
    /// A container cannot be started.
    ContainerFailed WARNING,
    /// Redis reads its data and does not serve yet.
    Loading None,
    /// A pod should have ended and its node does not confirm it.
    PodStuck WARNING,
    /// Redis cannot write its data.
    PersistenceFailing WARNING,
    /// Redis has all the clients that `maxclients` allows, and refuses new ones.
    MaxClientsReached WARNING,
    /// A pod whose server has all clients is restarted with a larger `maxclients`.
    MaxClientsRestart NORMAL,
    /// Redis refuses writes because too few replicas are connected.
    NotEnoughReplicas WARNING,
    /// The only server is a replica of another and refuses writes.
    ReadOnly WARNING,
    /// A pod that could not start was deleted, to start with the corrected configuration.
    PodReplaced NORMAL,

    /// No pod takes writes yet; the operator waits for the pods that may have the newest data.
    PrimaryMissing None,
    /// The primary does not answer the operator.
    PrimaryUnreachable WARNING,
    /// A primary that does not answer is ended by its kubelet before another is promoted.
    PrimaryFenced WARNING,
    /// The promote annotation decided where there was no safe choice.
    PromotionUsed NORMAL,
    /// The promote annotation was set while a primary serves, and is ignored.
    PromotionRefused WARNING,
    /// No pod takes writes, and the administrator has to choose whose data are kept.
    NoSafePrimary WARNING,
    /// A replica is not in sync with the primary.
    Synchronising None,
    /// Every replica is in sync with the primary.
    InSync None,
    /// The first primary was chosen, or the former one came back after all servers had restarted.
    PrimaryElected NORMAL,
    /// A replica was promoted because the primary died.
    FailedOver WARNING,
    /// The role of the primary was handed to a replica, without a lost write.
    HandedOver NORMAL,
    /// A server that took writes beside the primary was made to follow it; what only it had is gone.
    Demoted WARNING,

    /// The running servers hold the configuration.
    Held None,
    /// A running server held something else and got the configuration back.
    ConfigDrift WARNING,
    /// A running server cannot hold a directive as the spec has it.
    NotHeld WARNING,
    /// A running server cannot be reached by the operator.
    Unreachable WARNING,
    /// A running server answers that it cannot answer now.
    Busy WARNING,
    /// A running server takes no password that its Secret has.
    PasswordDiffers WARNING,

    /// A volume is being grown.
    Resizing NORMAL,
    /// A volume has grown and its file system has not yet.
    FileSystemResizePending NORMAL,
    /// The storage driver fails to grow a volume.
    ResizeFailed WARNING,
    /// The volumes have their size.
    Resized NORMAL,
    /// The StorageClass does not allow growth.
    ResizeUnsupported WARNING,
    /// A quota does not allow growth.
    QuotaExceeded WARNING,
    /// The target StorageClass of the volumes does not exist.
    StorageClassNotFound WARNING,
    /// A claim was deleted, so that its pod gets a volume of another StorageClass.
    VolumeReplaced NORMAL,
}

impl Reason {
    /// The reason that this word is, if it is one.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_its_reason() {
        for reason in Reason::ALL {
            assert_eq!(Reason::of(reason.as_str()), Some(*reason));
        }
        assert_eq!((Reason::of("Nonsense"), Reason::Resized.to_string()), (None, "Resized".to_owned()));
    }
}
