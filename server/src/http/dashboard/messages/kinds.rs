//! The kinds of alerts in words: the name, and when an alert of the kind fires.

use super::Messages;
use crate::alert::{AlertKind, written};
use crate::operator::queries::conditions::{
    BACKUP_DAYS, CERTIFICATE_DAYS, EXPIRY_DAYS, FORECAST_DAYS, REFUSED_PERCENTS,
};

/// A kind with its name and its rule, by the number of the language. A kind without a rule is no
/// threshold: something writes it on request.
type Kind = (AlertKind, [&'static str; 2], [&'static str; 2]);

const KINDS: &[Kind] = &[
    (
        AlertKind::Quota,
        ["Quota", "Quote"],
        [
            "So much of a quota is used: scans, pages, devices",
            "So viel einer Quote ist verbraucht: Scans, Seiten, Geräte",
        ],
    ),
    (
        AlertKind::Budget,
        ["Overuse budget", "Überlastbudget"],
        [
            "So much of the overuse budget of the license year is used",
            "So viel des Überlastbudgets des Lizenzjahrs ist verbraucht",
        ],
    ),
    (
        AlertKind::Overused,
        ["Overused", "Überlastet"],
        [
            "The budget is exceeded: only N run at a time",
            "Das Budget ist überschritten: nur N laufen gleichzeitig",
        ],
    ),
    (
        AlertKind::Refused,
        ["Refused share", "Abgelehnter Anteil"],
        [
            "This share of the authorizations under a handshake code was refused within 24 hours",
            "Dieser Anteil der Autorisierungen unter einem Handshake-Code wurde binnen 24 Stunden \
             abgelehnt",
        ],
    ),
    (
        AlertKind::Expiry,
        ["Expiry", "Ablauf"],
        ["An item expires within so many days", "Eine Position läuft in so vielen Tagen ab"],
    ),
    (
        AlertKind::Forecast,
        ["Forecast", "Vorhersage"],
        [
            "A quota or budget will be used up within so many days",
            "Eine Quote oder ein Budget wird in so vielen Tagen aufgebraucht sein",
        ],
    ),
    (
        AlertKind::Clock,
        ["Clock", "Uhr"],
        [
            "The machine's clock is behind the server's time",
            "Die Uhr des Rechners geht der Zeit des Servers nach",
        ],
    ),
    (
        AlertKind::Disk,
        ["Disk", "Datenträger"],
        ["The disk of the data is nearly full", "Der Datenträger der Daten ist fast voll"],
    ),
    (
        AlertKind::NotReady,
        ["Not ready", "Nicht bereit"],
        ["The server is not ready", "Der Server ist nicht bereit"],
    ),
    (
        AlertKind::RolledBack,
        ["Put back", "Zurückgesetzt"],
        [
            "The data was put back to an earlier state",
            "Die Daten wurden auf einen früheren Stand zurückgesetzt",
        ],
    ),
    (
        AlertKind::TwoServers,
        ["Two servers", "Zwei Server"],
        [
            "The data was put back again within a year: two servers use one key",
            "Die Daten wurden binnen eines Jahres wieder zurückgesetzt: zwei Server benutzen einen \
             Schlüssel",
        ],
    ),
    (
        AlertKind::StandbyActive,
        ["Standby serves", "Reserve arbeitet"],
        [
            "The standby serves, because its main server is down",
            "Die Reserve arbeitet, weil der Hauptserver aus ist",
        ],
    ),
    (
        AlertKind::BackupOld,
        ["Old backup", "Alte Sicherung"],
        [
            "The newest backup by seatmeterd backup is so many days old",
            "Die neueste Sicherung durch seatmeterd backup ist so viele Tage alt",
        ],
    ),
    (
        AlertKind::CertificateEnds,
        ["Certificate ends", "Zertifikat endet"],
        [
            "The server's certificate ends within so many days",
            "Das Zertifikat des Servers endet in so vielen Tagen",
        ],
    ),
    (AlertKind::Test, ["Test", "Probe"], ["", ""]),
    (AlertKind::Summary, ["Summary", "Zusammenfassung"], ["", ""]),
];

/// The rule by which alerts of a kind fire.
pub(in super::super) struct Rule {
    pub(in super::super) kind: &'static str,
    pub(in super::super) when: &'static str,
    pub(in super::super) levels: String,
}

/// Return the name of a kind.
pub(in super::super) fn kind(t: &Messages, kind: AlertKind) -> &'static str {
    let known = KINDS.iter().find(|(known, ..)| *known == kind);
    known.and_then(|(_, names, _)| names.get(t.number).copied()).unwrap_or_else(|| kind.name())
}

/// Return the level of an alert with its unit; empty when the kind has only one.
pub(in super::super) fn level(t: &Messages, kind: AlertKind, level: u32) -> String {
    match (level, kind.is_in_days()) {
        (0, _) => String::new(),
        (level, true) => format!("{level} {}", t.days_unit),
        (level, false) => format!("{level}\u{202f}%"),
    }
}

/// Return the rules by which alerts fire. `percents` are the thresholds of quotas and budgets.
pub(in super::super) fn rules(t: &Messages, percents: &[u32]) -> Vec<Rule> {
    let with_rule = KINDS.iter().filter(|(_, _, whens)| whens.iter().all(|when| !when.is_empty()));
    let rule = |(of, _, whens): &Kind| {
        let levels: &[u32] = match of {
            AlertKind::Quota | AlertKind::Budget => percents,
            AlertKind::Refused => &REFUSED_PERCENTS,
            AlertKind::Expiry => &EXPIRY_DAYS,
            AlertKind::Forecast => &FORECAST_DAYS,
            AlertKind::BackupOld => &[BACKUP_DAYS],
            AlertKind::CertificateEnds => &CERTIFICATE_DAYS,
            _ => &[],
        };
        let unit = if of.is_in_days() { t.days_unit } else { "%" };
        Rule {
            kind: kind(t, *of),
            when: whens.get(t.number).copied().unwrap_or_default(),
            levels: match levels {
                [] => String::new(),
                levels => format!("{} {unit}", written(levels).replace(',', ", ")),
            },
        }
    };
    with_rule.map(rule).collect()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::super::{ENGLISH, GERMAN};
    use super::*;

    #[test]
    fn every_kind_has_a_name_and_every_threshold_a_rule() {
        for of in AlertKind::value_variants() {
            assert!(KINDS.iter().any(|(known, ..)| known == of), "{} has no name", of.name());
        }
        let percents = [50, 90];
        for t in [&ENGLISH, &GERMAN] {
            let rules = rules(t, &percents);
            assert_eq!(rules.len(), AlertKind::value_variants().len() - 2, "all but two");
            assert!(rules.iter().any(|rule| rule.levels == "50, 90 %"));
        }
        assert_eq!(level(&ENGLISH, AlertKind::Expiry, 7), "7 days");
        assert_eq!(level(&GERMAN, AlertKind::Quota, 80), "80\u{202f}%");
        assert_eq!(level(&GERMAN, AlertKind::Overused, 0), "");
    }
}
