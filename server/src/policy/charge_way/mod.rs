//! The rules of each charge way: what it admits and counts. Each has its own file.

pub mod host;
pub mod per_barcode_scan;
pub mod per_client_device;
pub mod per_concurrent_device;
pub mod per_concurrent_instance;
pub mod per_domain;
pub mod per_page;
pub mod per_server;
