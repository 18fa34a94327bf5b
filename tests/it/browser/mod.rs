//! What people look at: boards for Grafana, asked of a real Prometheus.

mod panels;
