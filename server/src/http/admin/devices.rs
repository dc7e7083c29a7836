//! Devices.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Asked, By, Chosen, Done, Server, done, list};
use crate::error::Error;
use crate::operator::commands::{Change, DeviceRow, View};

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

/// The filter of the list of devices.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceQuery {
    /// The item of the wanted devices.
    item_id: Option<String>,
    /// The item of the device after which the list begins. Set it and `after_device` to those of
    /// the last row of the previous part.
    after_item: Option<String>,
    /// The UUID of the device after which the list begins; see `after_item`.
    after_device: Option<String>,
}

/// List devices, by item and UUID, up to 10000 at once
#[utoipa::path(get, path = "/devices", params(DeviceQuery), responses((status = 200, body = Vec<DeviceRow>)))]
pub(super) async fn devices(
    State(web): Server,
    Extension(by): By,
    Chosen(query): Chosen<DeviceQuery>,
) -> Response {
    let after = match (query.after_item, query.after_device) {
        (Some(item_id), Some(device_uuid)) => Some((item_id, device_uuid)),
        (None, None) => None,
        _ => {
            return Error::bad_request("name after_item and after_device, or neither")
                .into_response();
        }
    };
    list(&web, &by, View::Devices { item_id: query.item_id, after }).await
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
