//! What people look at: the pages in a real Chromium, of real servers, and boards for Grafana, asked of a real Prometheus.

mod approval;
mod audit;
mod chromium;
mod cluster;
mod cut_off;
mod faults;
mod panels;
mod runbooks;
mod view;

type Outcome = Result<(), pgvigil::lab::LabError>;
