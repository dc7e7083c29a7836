//! Tests of the license server from outside: over HTTP in this process, as the real program, and at
//! the store's trait.

#![allow(clippy::unwrap_used, reason = "everything here is a test")]

mod access;
mod access_commands;
mod alerts;
mod audit;
mod authorizations;
mod batches;
mod browsers;
mod cli;
mod config;
mod correction;
mod crash;
mod dashboard;
mod deployments;
mod edited;
mod everyday;
mod export;
mod failover;
mod http_limits;
mod metrics;
mod on_postgres;
mod operation;
mod owners;
mod patroni;
mod plan;
mod plans;
mod point_in_time;
mod poolers;
mod postgres_start;
mod pressure;
mod proxies;
mod queries;
mod restore;
mod rules_page;
mod scenarios;
mod sessions;
mod sharding;
mod store;
mod support;
mod time;
mod tls;
mod trouble;
mod trust;
mod usage;
mod vectors;
