//! Prometheus text 0.0.4 out of OpenMetrics: the same sample lines under other comments.

/// Leaves out units and the end mark, and names counters in full in their comments.
pub(super) fn from_open_metrics(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut help = "";
    for line in page.split_inclusive('\n') {
        let Some(comment) = line.strip_prefix("# ") else {
            text.push_str(line);
            continue;
        };
        // HELP stands right before TYPE, which alone tells whether the name needs its `_total`.
        if comment.starts_with("HELP ") {
            help = comment;
        } else if let Some(typed) = comment.strip_prefix("TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap_or((typed, "\n"));
            let suffix = if kind.trim_end() == "counter" { "_total" } else { "" };
            let meaning = help.splitn(3, ' ').nth(2).unwrap_or("\n");
            for part in ["# HELP ", name, suffix, " ", meaning, "# TYPE ", name, suffix, " ", kind] {
                text.push_str(part);
            }
        }
    }
    text
}
