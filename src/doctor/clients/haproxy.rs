//! HAProxy's statistics as CSV: which servers of a backend get sessions.

/// A server that gets sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name in HAProxy's config.
    pub name: String,
    /// Its address and port; empty where HAProxy does not show it (`stats show-legends`).
    pub address: String,
}

/// The servers of `backend` that get sessions, by what HAProxy says. Those that are marked as backup get none while another one does.
pub fn read(said: &str, backend: &str) -> Result<Vec<Server>, String> {
    let mut lines = said.lines();
    let header = lines.find_map(|line| line.strip_prefix("# ")).ok_or("it does not answer with HAProxy's table")?;
    let columns = cells(header);
    let column = |name: &str| columns.iter().position(|column| column == name);
    let need = |name: &str| column(name).ok_or(format!("HAProxy's table has no column {name}"));
    let (proxy, server, status, backup) = (need("pxname")?, need("svname")?, need("status")?, need("bck")?);
    let address = column("addr");
    let (mut is_there, mut active, mut spare) = (false, Vec::new(), Vec::new());
    for line in lines.map(cells) {
        let cell = |column: usize| line.get(column).map(String::as_str).unwrap_or_default();
        if cell(proxy) != backend || cell(server) == "FRONTEND" {
            continue;
        }
        is_there = true;
        // "UP 1/3" is on its way down and still gets sessions; "DOWN 1/2" none yet.
        let gets = cell(status).starts_with("UP") || cell(status) == "no check";
        if cell(server) == "BACKEND" || !gets {
            continue;
        }
        let found = Server { name: cell(server).to_owned(), address: address.map(cell).unwrap_or_default().to_owned() };
        if cell(backup) == "1" { spare.push(found) } else { active.push(found) }
    }
    match (is_there, active.is_empty()) {
        (false, _) => Err(format!("HAProxy has no backend {backend}")),
        (true, true) => Ok(spare),
        (true, false) => Ok(active),
    }
}

/// The cells of a line; those in quotes may hold commas.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars().filter(|c| *c != '\r') {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    cells.push(cell);
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# pxname,svname,status,bck,last_chk,addr,\n\
        writes,FRONTEND,OPEN,,,,\n\
        primary,a,UP,0,\"HTTP status, 200\",10.0.0.1:5432,\n\
        primary,b,DOWN 1/2,0,,10.0.0.2:5432,\n\
        primary,c,MAINT,0,,10.0.0.3:5432,\n\
        primary,BACKEND,UP,0,,,\n\
        spare,a,DOWN,0,,10.0.0.1:5432,\n\
        spare,b,UP 1/3,1,,10.0.0.2:5432,\n\
        spare,c,no check,1,,10.0.0.3:5432,\n\
        none,a,DOWN,0,,,\n";

    #[test]
    fn who_gets_sessions_is_read() {
        let names =
            |backend| read(TABLE, backend).map(|servers| servers.into_iter().map(|server| server.name).collect());
        assert_eq!(names("primary"), Ok(vec!["a".to_owned()]));
        assert_eq!(names("spare"), Ok(vec!["b".to_owned(), "c".to_owned()]));
        assert_eq!(names("none"), Ok(vec![]));
        assert_eq!(names("writes"), Err("HAProxy has no backend writes".to_owned()));
        assert_eq!(read(TABLE, "primary").unwrap()[0].address, "10.0.0.1:5432");
        for (said, why) in [("", "table"), ("<html>", "table"), ("# pxname,svname\n", "no column status")] {
            assert!(read(said, "primary").unwrap_err().contains(why), "{said}");
        }
    }
}
