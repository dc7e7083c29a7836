//! The texts of the dashboard in all its languages: one table, so that no text is forgotten.
//!
//! Sentences of the server itself, such as the reason of a refusal or the basis of a forecast, are
//! those of the command line and are English. Pages mark them as English.

pub(super) mod kinds;

use seatmeter_protocol::message::Metered;

use crate::access::Role;
use crate::operator::queries::status::{ItemState, MeterStatus};

/// Define the texts: name, English, German.
macro_rules! messages {
    ($($name:ident: $english:literal, $german:literal;)*) => {
        /// The texts in one language.
        #[derive(Debug)]
        pub(super) struct Messages {
            $(pub(super) $name: &'static str,)*
            /// The names of the months, short.
            pub(super) months: [&'static str; 12],
            /// The number of the language in tables of words.
            number: usize,
        }

        /// The English texts.
        pub(super) static ENGLISH: Messages = Messages {
            $($name: $english,)*
            months: [
                "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
            ],
            number: 0,
        };

        /// The German texts.
        pub(super) static GERMAN: Messages = Messages {
            $($name: $german,)*
            months: [
                "Jan", "Feb", "Mär", "Apr", "Mai", "Jun", "Jul", "Aug", "Sep", "Okt", "Nov", "Dez",
            ],
            number: 1,
        };
    };
}

messages! {
    access: "Access", "Zugang";
    actions: "Actions", "Aktionen";
    active_now: "Active now", "Jetzt aktiv";
    add_item: "Add an item", "Position hinzufügen";
    after: "After", "Nachher";
    alert: "Alert", "Warnung";
    alert_events: "Deliveries", "Zustellungen";
    alert_rules: "Rules", "Regeln";
    alerts: "Alerts", "Warnungen";
    all: "All", "Alle";
    application_ids: "Application ids, one a line", "Anwendungs-IDs, eine je Zeile";
    all_alerts: "All alerts", "Alle Warnungen";
    as_table: "As a table", "Als Tabelle";
    audit: "Audit log", "Protokoll";
    back_up_now: "Back up now", "Jetzt sichern";
    backup_is_secret:
        "The file is written into the data directory, and holds the key: copy it to another place.",
        "Die Datei liegt im Datenverzeichnis und enthält den Schlüssel: an anderen Ort kopieren.";
    done_backed_up:
        "The backup is made. Copy it to another place.",
        "Die Sicherung ist fertig. Kopieren Sie sie an einen anderen Ort.";
    done_backing_up:
        "The backup runs. This page shows how far it is.",
        "Die Sicherung läuft. Diese Seite zeigt, wie weit sie ist.";
    done_importing:
        "The import runs. This page shows how it ends.",
        "Der Import läuft. Diese Seite zeigt, wie er endet.";
    backup: "Backup", "Sicherung";
    backup_is_old: "No backup in the last 7 days: run seatmeterd backup",
        "Keine Sicherung in den letzten 7 Tagen: seatmeterd backup ausführen";
    before: "Before", "Vorher";
    budget: "budget", "Budget";
    budget_left: "What is left of the overuse budget", "Rest des Überlastbudgets";
    by_hour: "By hour", "Nach Stunde";
    by_number: "By error number", "Nach Fehlernummer";
    by_what: "By symbology or module, last 366 days", "Nach Symbologie oder Modul, letzte 366 Tage";
    cancel: "Cancel", "Abbrechen";
    channels: "Channels", "Wege";
    change: "Change", "Ändern";
    code_for_file: "Make this handshake code for the items (optional)",
        "Diesen Handshake-Code für die Positionen anlegen (optional)";
    check: "Check", "Prüfung";
    check_hint: "Reads all data, and changes nothing. A large database takes minutes.",
        "Liest alle Daten und ändert nichts. Eine große Datenbank dauert Minuten.";
    check_now: "Check the data now", "Daten jetzt prüfen";
    clock: "Clock", "Uhr";
    clock_is_ahead: "ahead by at least", "geht vor um mindestens";
    clock_is_right: "not ahead", "geht nicht vor";
    codes: "Codes", "Codes";
    copied: "Copied", "Kopiert";
    copy: "Copy", "Kopieren";
    data_is_whole: "The data is whole.", "Die Daten sind vollständig.";
    database: "Database", "Datenbank";
    date: "Date", "Datum";
    day: "Day", "Tag";
    days: "Days", "Tage";
    days_unit: "days", "Tage";
    days_left: "days left", "Tage übrig";
    default_thresholds: "All other items", "Alle anderen Positionen";
    default_code: "default code", "Standardcode";
    deliveries: "How it was told", "Wie es mitgeteilt wurde";
    delete_code: "Delete this code", "Diesen Code löschen";
    delete_code_warning:
        "Programs that use the code are refused from then on. Usage under it stays recorded.",
        "Programme mit diesem Code werden danach abgelehnt. Die Nutzung bleibt aufgezeichnet.";
    delete_device: "Take out of the lists", "Aus den Listen nehmen";
    delete_device_warning:
        "What the device was granted ends. Its usage stays recorded, and it may come again.",
        "Was dem Gerät gewährt wurde, endet. Seine Nutzung bleibt aufgezeichnet, und es kann \
            wiederkommen.";
    devices: "Devices", "Geräte";
    devices_in_slot: "Devices in the slot at", "Geräte im Zeitfenster ab";
    enable_webhook: "Post to it again", "Wieder dorthin senden";
    ended: "Ended", "Beendet";
    epochs: "Epochs of the data", "Epochen der Daten";
    error: "Error", "Fehler";
    event: "Event", "Ereignis";
    excess: "Excess", "Überschuss";
    explain_host: "Explain a host", "Einen Host erklären";
    expires: "Expires", "Läuft ab";
    field: "Field", "Feld";
    file: "File", "Datei";
    file_is_new: "a new file", "eine neue Datei";
    file_replaces: "replaces the file that is here", "ersetzt die vorhandene Datei";
    fired_at: "Fired", "Ausgelöst";
    first_granted: "First granted", "Zuerst gewährt";
    give_key:
        "Give this key of the server to your vendor. The vendor signs a license file for it.",
        "Geben Sie diesen Schlüssel des Servers Ihrem Hersteller. Er stellt eine Lizenzdatei \
            dafür aus.";
    grace: "grace", "Kulanz";
    granted: "granted", "gewährt";
    group_by: "Group by", "Gruppieren nach";
    handshake_code: "Handshake code", "Handshake-Code";
    head_of_log: "Head of the log:", "Kopf des Protokolls:";
    hides_devices: "UUIDs of devices are left out.", "UUIDs von Geräten werden weggelassen.";
    highest: "highest", "höchstens";
    holders: "Who holds the seats now", "Wer die Plätze jetzt hält";
    holds_nothing: "It has no license of this server.", "Es hat keine Lizenz dieses Servers.";
    host: "Host", "Host";
    host_counts_as: "counts as", "zählt als";
    host_may_use: "may use the item", "darf die Position benutzen";
    host_may_not_use: "may not use the item", "darf die Position nicht benutzen";
    hosts: "Hosts by domain", "Hosts nach Domain";
    import_file: "Import a license file", "Lizenzdatei importieren";
    import_hint: "You see what would change before anything is imported.",
        "Sie sehen, was sich ändern würde, bevor etwas importiert wird.";
    import_now: "Import now", "Jetzt importieren";
    imported: "Imported", "Importiert";
    is_changed: "changed", "geändert";
    is_missing: "not in the file any more", "nicht mehr in der Datei";
    is_new: "new", "neu";
    is_same: "unchanged", "unverändert";
    issued: "issued", "ausgestellt";
    item: "Item", "Position";
    items: "License items", "Lizenzpositionen";
    items_in_order: "Items", "Positionen";
    kind: "Kind", "Art";
    last_30_days: "Last 30 days", "Letzte 30 Tage";
    last_heard: "Last heard", "Zuletzt gehört";
    last_used: "Last used", "Zuletzt benutzt";
    level: "Level", "Stufe";
    license_file: "License file", "Lizenzdatei";
    licenses: "Licenses", "Lizenzen";
    log_in: "Log in", "Anmelden";
    log_out: "Log out", "Abmelden";
    login_failed: "The name or the password is wrong.", "Name oder Passwort ist falsch.";
    mail: "Mail", "Mail";
    made_at: "Made", "Angelegt";
    make: "Make", "Anlegen";
    make_default: "Make it the default code", "Zum Standardcode machen";
    make_user_by: "An administrator of the machine makes one:",
        "Ein Administrator des Rechners legt einen an:";
    more: "More", "Weitere";
    move_down: "Move down", "Nach unten:";
    move_up: "Move up", "Nach oben:";
    mute: "Mute", "Stummschalten";
    mute_until: "until (optional)", "bis (optional)";
    muted_until: "muted until", "stumm bis";
    name: "Name", "Name";
    navigation: "Main", "Hauptmenü";
    needs_attention: "Needs attention", "Zu beachten";
    never: "never", "nie";
    never_reported: "Never reported", "Nie gemeldet";
    new_code: "New handshake code", "Neuer Handshake-Code";
    new_password: "New password", "Neues Passwort";
    new_token: "New token", "Neues Token";
    new_user: "New user", "Neuer Benutzer";
    next_free: "Next seat free", "Nächster Platz frei";
    no_alerts: "No open alerts", "Keine offenen Warnungen";
    no_channels:
        "Alerts are told nowhere: set up mail or a webhook when you start the server.",
        "Warnungen werden nirgends mitgeteilt: Mail oder Webhook beim Start des Servers einrichten.";
    no_codes: "No handshake codes", "Keine Handshake-Codes";
    no_devices: "No such device", "Kein solches Gerät";
    no_events: "Nothing was told yet", "Noch nichts wurde mitgeteilt";
    no_hosts: "No host was seen", "Kein Host wurde gesehen";
    no_items: "No items: every request is refused", "Keine Positionen: jede Anfrage wird abgelehnt";
    no_license: "No license yet", "Noch keine Lizenz";
    no_past_alerts: "No past alerts", "Keine vergangenen Warnungen";
    no_refusals: "None in this time", "Keine in dieser Zeit";
    no_session_password: "No session password", "Kein Sitzungspasswort";
    no_tokens: "No tokens", "Keine Tokens";
    no_user: "No user yet?", "Noch kein Benutzer?";
    nobody_holds: "Nobody holds a seat now", "Niemand hält jetzt einen Platz";
    nobody_worked: "Nobody worked that day", "An diesem Tag arbeitete niemand";
    not_ready: "Not ready", "Nicht bereit";
    note: "Note", "Hinweis";
    nothing: "Nothing here", "Nichts vorhanden";
    nothing_refused: "Nothing refused", "Nichts abgelehnt";
    nothing_used: "Nothing was used in this time", "In dieser Zeit wurde nichts benutzt";
    offline_until: "Offline until", "Offline bis";
    only_sums: "This day is long past: only its sum is kept, in its first slot.",
        "Dieser Tag ist lange vorbei: nur seine Summe ist noch da, im ersten Zeitfenster.";
    open_alerts: "Open alerts", "Offene Warnungen";
    option: "License option", "Lizenzoption";
    or_paste: "or paste its text", "oder ihren Text einfügen";
    order_by_expiry: "The item that expires soonest is used first.",
        "Zuerst wird die Position benutzt, die zuerst abläuft.";
    order_is_own: "They are used in this order.", "Sie werden in dieser Reihenfolge benutzt.";
    organization: "Organization", "Organisation";
    overview: "Overview", "Überblick";
    past_alerts: "Past alerts", "Vergangene Warnungen";
    password: "Password", "Passwort";
    password_set: "Password set", "Passwort gesetzt";
    peak: "Peak", "Spitze";
    peaks_of_days: "Peak of each day", "Spitze jedes Tages";
    plan_another: "Plan another option", "Andere Option planen";
    planner: "Planner", "Planer";
    planner_hint:
        "What would another license option, or another N, have meant for the usage that is \
            recorded?",
        "Was hätte eine andere Lizenzoption oder ein anderes N für die aufgezeichnete Nutzung \
            bedeutet?";
    preview: "What would change", "Was sich ändern würde";
    process_names: "Process names, one a line", "Prozessnamen, einer je Zeile";
    rearm: "Re-arm", "Wieder scharf stellen";
    ready: "Ready", "Bereit";
    recovered_at: "Recovered", "Behoben";
    refusals: "Refusals", "Ablehnungen";
    refused: "refused", "abgelehnt";
    refused_from: "refused from", "abgelehnt ab";
    refused_hosts: "Refused hosts", "Abgelehnte Hosts";
    refused_now: "Refused in the current slot", "Im jetzigen Zeitfenster abgelehnt";
    release: "Release", "Freigeben";
    remove: "Remove", "Entfernen";
    rename: "Rename", "Umbenennen";
    replay: "Tell again", "Nochmals mitteilen";
    revoke: "Revoke", "Widerrufen";
    revoke_item: "Revoke this item", "Diese Position widerrufen";
    revoke_warning: "Devices stop at their next contact. This cannot be undone.",
        "Geräte hören beim nächsten Kontakt auf. Das kann nicht rückgängig gemacht werden.";
    role: "Role", "Rolle";
    rollbacks: "Came back in an earlier state", "In früherem Zustand wiedergekommen";
    rows: "rows of usage", "Zeilen Nutzung";
    running: "Running", "Läuft";
    runs_since: "runs since", "läuft seit";
    runs_out_on: "Runs out on", "Aufgebraucht am";
    save: "Save", "Speichern";
    search: "Search", "Suchen";
    seats_held: "Seats held", "Gehaltene Plätze";
    seats_of_days: "Seats held on each day", "Gehaltene Plätze je Tag";
    seats_until: "Seats until", "Plätze bis";
    server: "Server", "Server";
    server_key: "Server key", "Serverschlüssel";
    session_password: "Session password", "Sitzungspasswort";
    several_devices: "Several devices are meant.", "Mehrere Geräte sind gemeint.";
    set_aside: "set aside for devices", "für Geräte zurückgelegt";
    show: "Show", "Zeigen";
    shown_once: "It is shown once, and cannot be shown again.",
        "Es wird einmal gezeigt und kann nicht wieder gezeigt werden.";
    since: "Since", "Seit";
    skip: "Skip to the content", "Zum Inhalt";
    slot_or_time: "Devices of a slot: number or time",
        "Geräte eines Zeitfensters: Nummer oder Zeit";
    slots: "Slots with use", "Zeitfenster mit Nutzung";
    smallest_n: "Smallest N without a refusal:", "Kleinstes N ohne Ablehnung:";
    standby: "Standby", "Reserve";
    standby_serves: "serves: the main server is down", "arbeitet: der Hauptserver ist aus";
    standby_waits: "waits", "wartet";
    starts: "Starts", "Beginnt";
    state: "State", "Zustand";
    state_muted: "muted", "stumm";
    state_firing: "firing", "offen";
    state_revoked: "revoked", "widerrufen";
    subject: "About", "Worüber";
    summary_monthly: "A summary goes out each month.", "Jeden Monat geht eine Zusammenfassung hinaus.";
    summary_weekly: "A summary goes out each week.", "Jede Woche geht eine Zusammenfassung hinaus.";
    sum: "Sum", "Summe";
    tell_again: "Tell of it again", "Wieder mitteilen";
    test_alerts: "Send a test alert", "Probewarnung senden";
    then_import: "Then import the file:", "Dann die Datei importieren:";
    thresholds: "Thresholds in percent, such as 60,80,100", "Schwellen in Prozent, etwa 60,80,100";
    time_unit: "Unit of time", "Zeiteinheit";
    times_are_utc: "All times are UTC", "Alle Zeiten in UTC";
    told_nowhere: "told nowhere", "nirgends mitgeteilt";
    to_overview: "To the overview", "Zum Überblick";
    tokens: "Tokens", "Tokens";
    told_now: "What it would be told now", "Was es jetzt als Antwort bekäme";
    total: "total", "Summe";
    tried_on: "Tried on", "Erprobt an";
    try_out: "Try it", "Erproben";
    usage: "Usage", "Nutzung";
    usage_by_device: "Usage by device", "Nutzung nach Gerät";
    use_this_order: "Use them in this order", "In dieser Reihenfolge benutzen";
    used_so_far: "Used so far", "Bisher verbraucht";
    users: "Users", "Benutzer";
    verify_by: "Checked by", "Prüfen mit";
    verify: "Check the whole log", "Das ganze Protokoll prüfen";
    log_is_whole:
        "The log is whole: no line was changed or removed",
        "Das Protokoll ist vollständig: keine Zeile wurde geändert oder entfernt";
    log_is_broken: "The log is broken:", "Das Protokoll ist beschädigt:";
    line: "line", "Zeile";
    version: "Version", "Version";
    waiting_requests: "Waiting requests", "Wartende Anfragen";
    website_domains: "Website domains, one a line", "Website-Domains, eine je Zeile";
    webhook: "Webhook", "Webhook";
    webhook_is_off:
        "The webhook is off, because its receiver has answered 410.",
        "Der Webhook ist aus, weil sein Empfänger mit 410 geantwortet hat.";
    what_happened: "What has happened, and what to do", "Was geschehen ist und was zu tun ist";
    when: "When", "Wann";
    what_it_holds: "What it holds", "Was es hält";
    who_may_use: "Who may use it", "Wer ihn benutzen darf";
    with_password: "session password", "Sitzungspasswort";
    with_peaks: "With the highest slot", "Mit dem höchsten Zeitfenster";
    would_be_refused: "would be refused", "würden abgelehnt";
    write_to_confirm: "Write its id to confirm", "Zur Bestätigung ihre ID schreiben";
    zoom: "Zoom", "Vergrößern";
    state_within: "within", "im Rahmen";
    state_in_grace: "in grace", "in Kulanz";
    state_used_up: "used up", "aufgebraucht";
    state_overused: "overused", "überlastet";
    state_not_yet: "not yet in effect", "noch nicht gültig";
    state_expiry_grace: "expired, in grace", "abgelaufen, in Kulanz";
    state_expired: "expired", "abgelaufen";
    role_viewer: "viewer", "Leser";
    role_operator: "operator", "Bediener";
    role_admin: "admin", "Administrator";
    done_renamed: "The device has its new name.", "Das Gerät hat seinen neuen Namen.";
    done_released: "The device was released.", "Das Gerät wurde freigegeben.";
    done_deleted: "Deleted.", "Gelöscht.";
    done_made: "Made.", "Angelegt.";
    done_changed: "Saved.", "Gespeichert.";
    done_enabled: "The webhook is on again.", "Der Webhook ist wieder an.";
    done_muted: "Nothing is told of the alert until then.",
        "Die Warnung wird bis dahin nicht mitgeteilt.";
    done_rearmed: "The alert may fire again.", "Die Warnung kann wieder auslösen.";
    done_replayed: "The event is told again.", "Das Ereignis wird nochmals mitgeteilt.";
    done_tested: "A test alert was written. See below how it is told.",
        "Eine Probewarnung wurde geschrieben. Unten steht, wie sie mitgeteilt wird.";
    done_unmuted: "The alert is told again.", "Die Warnung wird wieder mitgeteilt.";
    done_revoked: "Revoked.", "Widerrufen.";
    done_imported: "The license file was imported.", "Die Lizenzdatei wurde importiert.";
}

/// A word with its texts, by the number of the language.
type Word = (&'static str, [&'static str; 2]);

/// Words of the API: options, units, kinds and states.
const WORDS: &[Word] = &[
    ("per-barcode-scan", ["Per barcode scan", "Je Barcode-Scan"]),
    ("barcode-scan", ["Per barcode scan", "Je Barcode-Scan"]),
    ("per-page", ["Per page", "Je Seite"]),
    ("page", ["Per page", "Je Seite"]),
    ("client-device", ["Per client device", "Je Client-Gerät"]),
    ("per-client-device", ["Per client device", "Je Client-Gerät"]),
    ("active-client-device", ["Per active client device", "Je aktivem Client-Gerät"]),
    ("per-server", ["Per server", "Je Server"]),
    ("server", ["Per server", "Je Server"]),
    ("per-domain", ["Per domain", "Je Domain"]),
    ("domain", ["Per domain", "Je Domain"]),
    ("per-concurrent-device", ["Per concurrent device", "Je gleichzeitigem Gerät"]),
    ("concurrent-device", ["Per concurrent device", "Je gleichzeitigem Gerät"]),
    ("per-concurrent-instance", ["Per concurrent instance", "Je gleichzeitiger Instanz"]),
    ("concurrent-instance", ["Per concurrent instance", "Je gleichzeitiger Instanz"]),
    ("scans", ["scans", "Scans"]),
    ("pages", ["pages", "Seiten"]),
    ("images", ["images", "Bilder"]),
    ("devices", ["devices", "Geräte"]),
    ("instances", ["instances", "Instanzen"]),
    ("seats", ["seats", "Plätze"]),
    ("excess", ["excess of the license year", "Überschuss des Lizenzjahrs"]),
    ("scan", ["scan", "Scan"]),
    ("image", ["image", "Bild"]),
    ("code", ["handshake code", "Handshake-Code"]),
    ("item", ["item", "Position"]),
    ("device", ["device", "Gerät"]),
    ("kind", ["kind", "Art"]),
    ("what", ["symbology or module", "Symbologie oder Modul"]),
    ("slot", ["slot of 3 minutes", "Zeitfenster von 3 Minuten"]),
    ("hour", ["hour", "Stunde"]),
    ("day", ["day", "Tag"]),
    ("week", ["week", "Woche"]),
    ("month", ["month", "Monat"]),
    ("running", ["running", "läuft"]),
    ("ended", ["ended", "beendet"]),
    ("granted", ["granted", "gewährt"]),
    ("refused", ["refused", "abgelehnt"]),
    ("fired", ["fired", "ausgelöst"]),
    ("recovered", ["recovered", "behoben"]),
    ("test", ["test", "Probe"]),
    ("summary", ["summary", "Zusammenfassung"]),
    ("mail", ["mail", "Mail"]),
    ("webhook", ["webhook", "Webhook"]),
    ("waiting", ["waiting", "wartet"]),
    ("done", ["told", "mitgeteilt"]),
    ("given_up", ["given up", "aufgegeben"]),
];

/// The heads of columns, by their names in the JSON form.
const COLUMNS: &[Word] = &[
    ("item_id", ["Item", "Position"]),
    ("device_uuid", ["Device", "Gerät"]),
    ("device_name", ["Name", "Name"]),
    ("device", ["Device", "Gerät"]),
    ("handshake_code", ["Handshake code", "Handshake-Code"]),
    ("name", ["Name", "Name"]),
    ("state", ["State", "Zustand"]),
    ("seats", ["Seats", "Plätze"]),
    ("valid_until", ["Offline until", "Offline bis"]),
    ("last_heard", ["Last heard", "Zuletzt gehört"]),
    ("version", ["Version", "Version"]),
    ("since", ["Since", "Seit"]),
    ("until", ["Until", "Bis"]),
    ("from", ["From", "Von"]),
    ("to", ["To", "Bis"]),
    ("origin", ["Origin", "Herkunft"]),
    ("code", ["Number", "Nummer"]),
    ("at", ["Time", "Zeit"]),
    ("detail", ["What was said", "Was gesagt wurde"]),
    ("details", ["Details", "Einzelheiten"]),
    ("hour", ["Hour", "Stunde"]),
    ("refused", ["Refused", "Abgelehnt"]),
    ("first_at", ["First", "Zuerst"]),
    ("first_detail", ["First sentence", "Erster Satz"]),
    ("last_at", ["Last", "Zuletzt"]),
    ("last_detail", ["Last sentence", "Letzter Satz"]),
    ("error", ["Error", "Fehler"]),
    ("what_to_do", ["What to do", "Was zu tun ist"]),
    ("kind", ["Kind", "Art"]),
    ("what", ["Symbology or module", "Symbologie oder Modul"]),
    ("begins_at", ["Begins", "Beginnt"]),
    ("total", ["Sum", "Summe"]),
    ("peak", ["Peak", "Spitze"]),
    ("peak_slot_at", ["Peak at", "Spitze um"]),
    ("peak_at", ["Peak at", "Spitze um"]),
    ("slot", ["Slot", "Zeitfenster"]),
    ("count", ["Count", "Anzahl"]),
    ("quota", ["N", "N"]),
    ("excess", ["Excess", "Überschuss"]),
    ("date", ["Date", "Datum"]),
    ("domain", ["Domain", "Domain"]),
    ("host", ["Host", "Host"]),
    ("devices", ["Devices", "Geräte"]),
    ("last_granted", ["Last granted", "Zuletzt gewährt"]),
    ("audit_id", ["Line", "Zeile"]),
    ("actor", ["Who", "Wer"]),
    ("action", ["What", "Was"]),
    ("subject", ["Of", "Woran"]),
    ("number", ["Number", "Nummer"]),
    ("begun_at", ["Begun", "Begonnen"]),
    ("cause", ["Cause", "Ursache"]),
    ("epoch", ["Epoch", "Epoche"]),
    ("server", ["Server", "Server"]),
    ("value", ["Value", "Wert"]),
    ("unit", ["Of what", "Wovon"]),
    ("first_refused_at", ["First refused", "Zuerst abgelehnt"]),
    ("smallest_quota", ["Smallest N", "Kleinstes N"]),
    ("offline_since", ["Not heard since", "Nicht gehört seit"]),
    ("seats_per_device", ["Seats per device", "Plätze je Gerät"]),
    ("overuse_budget", ["Overuse budget", "Überlastbudget"]),
    ("window_days", ["Window in days", "Fenster in Tagen"]),
];

/// The notice of a page after a deletion.
pub(super) const DELETED: &str = "deleted";

fn found(t: &Messages, words: &[Word], name: &str) -> Option<&'static str> {
    let word = words.iter().find(|(known, _)| *known == name);
    word.and_then(|(_, texts)| texts.get(t.number).copied())
}

/// Return a word of the API for people. A word without a text is shown as it is.
pub(super) fn word(t: &Messages, name: &str) -> String {
    found(t, WORDS, name).map_or_else(|| name.to_owned(), str::to_owned)
}

/// Return a unit for people; empty when it has no text.
pub(super) fn word_of(t: &Messages, name: &str) -> &'static str {
    found(t, WORDS, name).unwrap_or_default()
}

/// Return the head of a column.
pub(super) fn column(t: &Messages, name: &str) -> String {
    found(t, COLUMNS, name).map_or_else(|| name.replace('_', " "), str::to_owned)
}

/// Return what a meter counts.
pub(super) fn noun(t: &Messages, meter: &MeterStatus) -> String {
    match meter.of {
        Metered::Pages => format!("{} {}", word_of(t, "pages"), meter.module_name),
        _ => word(t, &meter.noun()),
    }
}

/// Return the state of an item.
pub(super) fn state(t: &'static Messages, state: ItemState) -> &'static str {
    match state {
        ItemState::Within => t.state_within,
        ItemState::InGrace => t.state_in_grace,
        ItemState::UsedUp => t.state_used_up,
        ItemState::Overused => t.state_overused,
        ItemState::NotYetInEffect => t.state_not_yet,
        ItemState::ExpiryGrace => t.state_expiry_grace,
        ItemState::Expired => t.state_expired,
        ItemState::Revoked => t.state_revoked,
        ItemState::NotReady => t.not_ready,
    }
}

/// Return the name of a role.
pub(super) fn role(t: &'static Messages, role: Role) -> &'static str {
    match role {
        Role::Viewer => t.role_viewer,
        Role::Operator => t.role_operator,
        Role::Admin => t.role_admin,
    }
}

/// Return the sentence that confirms a change; `None` for something else in the address.
pub(super) fn notice(t: &'static Messages, done: &str) -> Option<&'static str> {
    let text = match done {
        "renamed" => t.done_renamed,
        "released" => t.done_released,
        DELETED => t.done_deleted,
        "made" => t.done_made,
        "changed" => t.done_changed,
        "revoked" => t.done_revoked,
        "imported" => t.done_imported,
        "importing" => t.done_importing,
        "backed_up" => t.done_backed_up,
        "backing_up" => t.done_backing_up,
        "enabled" => t.done_enabled,
        "muted" => t.done_muted,
        "rearmed" => t.done_rearmed,
        "replayed" => t.done_replayed,
        "tested" => t.done_tested,
        "unmuted" => t.done_unmuted,
        _ => return None,
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_without_a_text_is_shown_as_it_is() {
        assert_eq!(word(&GERMAN, "devices"), "Ger\u{e4}te");
        assert_eq!(word(&ENGLISH, "QR_CODE"), "QR_CODE");
        assert_eq!(column(&ENGLISH, "some_new_column"), "some new column");
        assert_eq!(notice(&ENGLISH, "<script>"), None);
    }

    #[test]
    fn a_name_is_in_a_table_once() {
        for table in [WORDS, COLUMNS] {
            for (at, (name, texts)) in table.iter().enumerate() {
                assert!(texts.iter().all(|text| !text.is_empty()), "{name}");
                assert!(table[at + 1..].iter().all(|(other, _)| other != name), "{name}");
            }
        }
    }
}
