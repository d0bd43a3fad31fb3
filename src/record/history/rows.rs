//! What the history keeps, as plain data. Texts are made by the caller: the history knows neither incidents nor their JSON.
//! Times are wall time in milliseconds since the epoch, spans are seconds.

/// One thing to write down. Writing the same again is harmless.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// An incident as it is now, with all its steps.
    Incident(Box<IncidentRow>),
    /// What must survive a restart besides incidents, one text for each key; `None` removes it.
    Fact {
        /// Such as `budget` or `track/…`.
        key: String,
        /// JSON.
        text: Option<String>,
    },
    /// The heal of this incident, which has ended, did not hold.
    Relapsed(String),
    /// A silence that a person asked for.
    Silence(SilenceRow),
    /// A message, delivered or not.
    Notification(NotificationRow),
}

/// An incident as it is now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IncidentRow {
    /// Its name.
    pub id: String,
    /// The playbook's name.
    pub playbook: String,
    /// The identity of the target: `mount=/data`.
    pub target: String,
    /// The word of the contract.
    pub severity: String,
    /// The word of the contract.
    pub status: String,
    /// Who opened it: the word of the contract.
    pub source: String,
    /// All labels, as a JSON object.
    pub labels: String,
    /// When it was opened.
    pub detected_at: i64,
    /// The first bad sample.
    pub started_at: i64,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// Whether it goes on.
    pub live: bool,
    /// Nothing was to be executed.
    pub dry_run: bool,
    /// Whether an action has started.
    pub acted: bool,
    /// The trouble came back soon after.
    pub relapsed: bool,
    /// The agent ended while it was acting.
    pub interrupted: bool,
    /// Counted from 1.
    pub attempt: u32,
    /// Seconds from the first bad sample to the incident.
    pub time_to_detect: f64,
    /// Seconds from the first bad sample to the proof; only of a resolved one.
    pub time_to_recover: Option<f64>,
    /// The path of the report.
    pub report: String,
    /// The JSON of contract C2, `Incident`.
    pub view: String,
    /// What restores it after a restart; `None` once it has ended.
    pub state: Option<String>,
    /// Its actions.
    pub steps: Vec<StepRow>,
    /// The answer that it waits for, or got.
    pub approval: Option<ApprovalRow>,
}

/// An action of an incident.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepRow {
    /// Its place in the playbook, from 0.
    pub index: u32,
    /// Its type.
    pub kind: String,
    /// What it is for.
    pub description: String,
    /// What runs.
    pub command: String,
    /// The word of the contract.
    pub status: String,
    /// Why it has that status.
    pub reason: Option<String>,
    /// If it exited.
    pub exit_code: Option<i32>,
    /// When it started, if it did.
    pub started_at: Option<i64>,
    /// How many seconds it took.
    pub duration: Option<f64>,
}

/// A person's answer, or the question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApprovalRow {
    /// The word of the contract.
    pub state: String,
    /// Who answered.
    pub by: Option<String>,
    /// From where.
    pub from: Option<String>,
    /// When it got into this state.
    pub at: i64,
    /// Until when an answer counts.
    pub deadline: i64,
    /// What the person said.
    pub reason: Option<String>,
}

/// A time in which nobody is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SilenceRow {
    /// Its name.
    pub id: String,
    /// Which playbook; all without.
    pub playbook: Option<String>,
    /// Which targets, as a JSON object.
    pub labels: String,
    /// Its first moment.
    pub from_at: i64,
    /// Its last moment.
    pub until_at: i64,
    /// What for.
    pub reason: Option<String>,
    /// Who asked for it.
    pub by: Option<String>,
    /// Whether it was ended, by a person or because its time was over.
    pub expired: bool,
}

/// A message to people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NotificationRow {
    /// Names this message among all: incident, kind and number.
    pub id: String,
    /// The incident it is about.
    pub incident: Option<String>,
    /// The kind: `escalated`, …
    pub event: String,
    /// When it was made.
    pub at: i64,
    /// The channel's name.
    pub channel: String,
    /// What it says.
    pub text: String,
    /// When the other side took it.
    pub delivered_at: Option<i64>,
}

/// What a restart begins with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    /// Id and state of each live incident, oldest first.
    pub incidents: Vec<(String, String)>,
    /// Keys and texts.
    pub facts: Vec<(String, String)>,
    /// Silences whose end nobody has written down; their time may be over.
    pub silences: Vec<SilenceRow>,
}

impl Entry {
    /// Whether both are about the same thing, so that the newer one makes the older one needless.
    #[must_use]
    pub fn replaces(&self, older: &Self) -> bool {
        match (self, older) {
            (Self::Incident(new), Self::Incident(old)) => new.id == old.id,
            (Self::Fact { key: new, .. }, Self::Fact { key: old, .. }) => new == old,
            (Self::Silence(new), Self::Silence(old)) => new.id == old.id,
            (Self::Notification(new), Self::Notification(old)) => new.id == old.id,
            _ => false,
        }
    }

    /// About how many bytes it takes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        let texts = match self {
            Self::Incident(row) => {
                let steps: usize = row.steps.iter().map(|step| step.command.len() + step.description.len()).sum();
                row.view.len() + row.state.as_ref().map_or(0, String::len) + steps
            }
            Self::Fact { key, text } => key.len() + text.as_ref().map_or(0, String::len),
            Self::Relapsed(id) => id.len(),
            Self::Silence(row) => row.labels.len(),
            Self::Notification(row) => row.text.len(),
        };
        512 + texts
    }
}
