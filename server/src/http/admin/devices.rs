//! Devices.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Asked, By, Done, Server, done};
use crate::operator::commands::Change;

/// The item from which a device is released.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Release {
    /// The id of the item with the seats that the device gives back.
    item_id: String,
}

/// A name for a device.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Name {
    /// The name.
    name: String,
}

/// End what a device was granted from an item
#[utoipa::path(post, path = "/devices/{device_uuid}/release", params(("device_uuid" = String, Path)),
    request_body = Release, responses((status = 200, body = Done)))]
pub(super) async fn release_device(
    State(web): Server,
    Extension(by): By,
    Path(device_uuid): Path<String>,
    Asked(Release { item_id }): Asked<Release>,
) -> Response {
    done(web.licensing.change(Change::ReleaseDevice { item_id, device_uuid }, &by).await)
}

/// Give a device another name
#[utoipa::path(put, path = "/devices/{device_uuid}/name", params(("device_uuid" = String, Path)),
    request_body = Name, responses((status = 200, body = Done)))]
pub(super) async fn rename_device(
    State(web): Server,
    Extension(by): By,
    Path(device_uuid): Path<String>,
    Asked(Name { name }): Asked<Name>,
) -> Response {
    done(web.licensing.rename_device(device_uuid, name, &by).await)
}

/// Take a device out of the lists, and end what it was granted
#[utoipa::path(delete, path = "/devices/{device_uuid}", params(("device_uuid" = String, Path)),
    responses((status = 200, body = Done)))]
pub(super) async fn delete_device(
    State(web): Server,
    Extension(by): By,
    Path(device_uuid): Path<String>,
) -> Response {
    done(web.licensing.change(Change::DeleteDevice { device_uuid }, &by).await)
}
