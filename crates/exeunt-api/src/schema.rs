//! The JSON schemas of the wire types, made from the types, for the `OpenAPI` document.

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

use crate::{
    AttributesOrder, AuditPage, BackupNoted, BackupOrder, BulkAnswer, BulkReleaseOrder,
    BulkRevokeOrder, CaDescription, CertificateDetail, CertificatePage, CertificateRow, CrlPage,
    Deliveries, Denied, DenyOrder, ExchangeCertificate, ExitChanged, ExitDetail, ExitList,
    ExitRemoved, ExitSettings, Explanation, ExtensionOrder, Health, ImportAnswer, ImportOrder,
    KeyImportOrder, KeyImported, KeyRecovery, KeyRecoveryList, KeyRecoveryOrder, KnownSettings,
    MaintenanceOrder, MaintenanceRun, NewExit, NewToken, PolicyOrder, PolicySettings, PolicyStatus,
    PrincipalList, Problem, PublishExpiredOrder, PublishOrder, RecoveredKey, Reloaded, ReplayOrder,
    RequestDetail, RequestPage, RevokeOrder, Revoked, ShelfOrder, SubmitAnswer, TemplateDetail,
    TemplateList, TokenChanged, TrialAnswer,
};

/// Bodies and answers; what they are made of comes along.
const TYPES: &[fn(&mut SchemaGenerator) -> Schema] = &[
    SchemaGenerator::subschema_for::<AttributesOrder>,
    SchemaGenerator::subschema_for::<AuditPage>,
    SchemaGenerator::subschema_for::<BackupNoted>,
    SchemaGenerator::subschema_for::<BackupOrder>,
    SchemaGenerator::subschema_for::<PrincipalList>,
    SchemaGenerator::subschema_for::<NewToken>,
    SchemaGenerator::subschema_for::<TokenChanged>,
    SchemaGenerator::subschema_for::<BulkAnswer>,
    SchemaGenerator::subschema_for::<BulkReleaseOrder>,
    SchemaGenerator::subschema_for::<BulkRevokeOrder>,
    SchemaGenerator::subschema_for::<CaDescription>,
    SchemaGenerator::subschema_for::<CertificateDetail>,
    SchemaGenerator::subschema_for::<CertificatePage>,
    SchemaGenerator::subschema_for::<CertificateRow>,
    SchemaGenerator::subschema_for::<CrlPage>,
    SchemaGenerator::subschema_for::<Deliveries>,
    SchemaGenerator::subschema_for::<Denied>,
    SchemaGenerator::subschema_for::<DenyOrder>,
    SchemaGenerator::subschema_for::<ExchangeCertificate>,
    SchemaGenerator::subschema_for::<ExitChanged>,
    SchemaGenerator::subschema_for::<ExitDetail>,
    SchemaGenerator::subschema_for::<ExitList>,
    SchemaGenerator::subschema_for::<ExitRemoved>,
    SchemaGenerator::subschema_for::<ExitSettings>,
    SchemaGenerator::subschema_for::<Explanation>,
    SchemaGenerator::subschema_for::<ExtensionOrder>,
    SchemaGenerator::subschema_for::<Health>,
    SchemaGenerator::subschema_for::<ImportAnswer>,
    SchemaGenerator::subschema_for::<ImportOrder>,
    SchemaGenerator::subschema_for::<KeyImportOrder>,
    SchemaGenerator::subschema_for::<KeyImported>,
    SchemaGenerator::subschema_for::<KeyRecovery>,
    SchemaGenerator::subschema_for::<KeyRecoveryList>,
    SchemaGenerator::subschema_for::<KeyRecoveryOrder>,
    SchemaGenerator::subschema_for::<KnownSettings>,
    SchemaGenerator::subschema_for::<MaintenanceOrder>,
    SchemaGenerator::subschema_for::<MaintenanceRun>,
    SchemaGenerator::subschema_for::<NewExit>,
    SchemaGenerator::subschema_for::<PolicyOrder>,
    SchemaGenerator::subschema_for::<PolicySettings>,
    SchemaGenerator::subschema_for::<PolicyStatus>,
    SchemaGenerator::subschema_for::<Problem>,
    SchemaGenerator::subschema_for::<PublishExpiredOrder>,
    SchemaGenerator::subschema_for::<PublishOrder>,
    SchemaGenerator::subschema_for::<RecoveredKey>,
    SchemaGenerator::subschema_for::<Reloaded>,
    SchemaGenerator::subschema_for::<ReplayOrder>,
    SchemaGenerator::subschema_for::<RequestDetail>,
    SchemaGenerator::subschema_for::<RequestPage>,
    SchemaGenerator::subschema_for::<RevokeOrder>,
    SchemaGenerator::subschema_for::<Revoked>,
    SchemaGenerator::subschema_for::<ShelfOrder>,
    SchemaGenerator::subschema_for::<SubmitAnswer>,
    SchemaGenerator::subschema_for::<TemplateDetail>,
    SchemaGenerator::subschema_for::<TemplateList>,
    SchemaGenerator::subschema_for::<TrialAnswer>,
];

/// Every schema by the name of its type. They refer to each other below `#/components/schemas`, as
/// `OpenAPI` 3.1 has it, whose schemas are JSON schema of 2020-12.
#[must_use]
pub fn schemas() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12();
    let mut generator =
        settings.with(|it| it.definitions_path = "/components/schemas".into()).into_generator();
    for add in TYPES {
        add(&mut generator);
    }
    let mut schemas = generator.take_definitions(true);
    schemas.values_mut().for_each(plain);
    schemas
}

/// Takes out of descriptions what means something to readers of the source alone.
fn plain(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => {
                        *text =
                            text.replace("[`crate::", "`").replace("[`", "`").replace("`]", "`");
                    }
                    other => plain(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}
