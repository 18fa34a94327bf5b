//! The five states behind SQLSTATE 57P03 have nothing but the message to tell them apart, and `lc_messages` translates it.
//! These are the words of real servers in English (13 to 18) and in the eleven languages that 15 is translated into. Words that
//! stand in no row leave the answer unrecognised.

use super::Cause;

/// What the words of a 57P03 mean; `None` if they are not known.
pub(super) fn cause_of(message: &str) -> Option<Cause> {
    let message = message.trim();
    WORDS.iter().find(|(_, words)| words.contains(&message)).map(|(cause, _)| *cause)
}

/// The cause, and how the server says it: English, then de, es, fr, it, ja, ka, ko, ru, sv, uk, zh_CN.
const WORDS: &[(Cause, &[&str])] = &[
    (
        Cause::Starting,
        &[
            "the database system is starting up",
            "das Datenbanksystem startet",
            "el sistema de base de datos está iniciándose",
            "le système de bases de données se lance",
            "il database si sta avviando",
            "データベースシステムは起動処理中です",
            "მიმდინარეობს მონაცემთა ბაზის სისტემის გაშვება",
            "데이터베이스 시스템이 새로 가동 중입니다.",
            "система баз данных запускается",
            "databassystemet startar upp",
            "система бази даних запускається",
            "数据库系统启动中",
        ],
    ),
    (
        Cause::Stopping,
        &[
            "the database system is shutting down",
            "das Datenbanksystem fährt herunter",
            "el sistema de base de datos está apagándose",
            "le système de base de données s'arrête",
            "il database si sta spegnendo",
            "データベースシステムはシャットダウンしています",
            "მონაცემთა ბაზის სისტემა ითიშება",
            "데이터베이스 시스템이 중지 중입니다",
            "система баз данных останавливается",
            "databassystemet stänger ner",
            "система бази даних завершує роботу",
            "数据库系统停止中",
        ],
    ),
    (
        Cause::Recovering,
        &[
            "the database system is in recovery mode",
            "das Datenbanksystem ist im Wiederherstellungsmodus",
            "el sistema de base de datos está en modo de recuperación",
            "le système de bases de données est en cours de restauration",
            "il database è in modalità di ripristino",
            "データベースシステムはリカバリモードです",
            "მონაცემთა ბაზის სისტემა აღდგენის რეჟიმშია",
            "데이터베이스 시스템이 자동 복구 작업 중입니다.",
            "система баз данных в режиме восстановления",
            "databassystemet är återställningsläge",
            "система бази даних у режимі відновлення",
            "数据库系统在恢复模式中",
        ],
    ),
    (
        Cause::NotConsistent,
        &[
            "the database system is not yet accepting connections",
            "das Datenbanksystem nimmt noch keine Verbindungen an",
            "el sistema de bases de datos aún no está aceptando conexiones",
            "le système de bases de données n'accepte pas encore de connexions",
            "il sistema di database non accetta ancora connessioni",
            "データベースシステムはまだ接続を受け付けていません",
            "მონაცემთა ბაზის სისტემა ჯერ მიერთებებს არ იღებს",
            "해당 데이터베이스 시스템은 아직 접속을 허용하지 않습니다.",
            "система БД ещё не принимает подключения",
            "databassystemet tar ännu inte emot anslutningar",
            "система бази даних ще не приймає підключення",
        ],
    ),
    (
        Cause::HotStandbyOff,
        &[
            "the database system is not accepting connections",
            "das Datenbanksystem nimmt keine Verbindungen an",
            "el sistema de bases de datos no está aceptando conexiones",
            "le système de bases de données n'accepte pas de connexions",
            "il sistema di database non accetta connessioni",
            "データベースシステムは接続を受け付けていません",
            "მონაცემთა ბაზის სისტემა მიერთებებს არ იღებს",
            "해당 데이터베이스 시스템은 접속을 허용하지 않습니다.",
            "система БД не принимает подключения",
            "databassystemet tar inte emot anslutningar",
            "система бази даних не приймає підключення",
        ],
    ),
];
