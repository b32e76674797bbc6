//! Settings of libraries that a session has not loaded. PostgreSQL checks them when the library is loaded, and lists them in
//! `pg_settings` from then on only.
//!
//! The owner of a database may set those that take no rank, once a session of its own has loaded the library: whether
//! PL/pgSQL checks assertions, or the function that PL/v8 calls first (`plv8.start_proc`), which would run as the worker in
//! the first script or event trigger that uses the language. A setting whose class is no library's can be set for a
//! database or a role by a superuser alone, who is trusted, and stays.

use postgres_protocol::escape::escape_literal;

/// An expression: the names of the settings that the database or the role has and that are of an installed extension's
/// library. What a library calls its settings begins with the extension's name.
pub(super) const NAMES: &str = "(SELECT coalesce(json_agg(DISTINCT named.name), '[]')
   FROM pg_db_role_setting g
   LEFT JOIN pg_database d ON d.oid = g.setdatabase LEFT JOIN pg_roles r ON r.oid = g.setrole
   CROSS JOIN LATERAL unnest(g.setconfig) c
   CROSS JOIN LATERAL (SELECT lower(split_part(c, '=', 1)) AS name) named
   JOIN pg_extension e ON e.extname = split_part(named.name, '.', 1)
   WHERE named.name LIKE '%.%' AND (g.setdatabase = 0 OR d.datname = current_database())
     AND (g.setrole = 0 OR r.rolname = session_user))";

/// The values that PL/pgSQL itself has.
const KNOWN: [(&str, &str); 4] = [
    ("plpgsql.check_asserts", "on"),
    ("plpgsql.extra_errors", "none"),
    ("plpgsql.extra_warnings", "none"),
    ("plpgsql.print_strict_params", "off"),
];

/// The value that each is set back to where its library is not loaded.
pub(super) fn values(names: &[String]) -> impl Iterator<Item = (String, String)> {
    names.iter().map(|name| {
        let known = KNOWN.iter().find(|(known, _)| known == name);
        let value = known.map_or("", |(_, value)| value);
        (name.clone(), value.to_owned())
    })
}

/// The statement that sets them back, LOCAL to the transaction; none where there are none. Its names are found in
/// `pg_catalog` alone, to which the transaction's `search_path` is set.
///
/// Whether the library is loaded is looked at each time. Where it is, its own value is known, and one that takes a rank is
/// left. Where it is not, a text becomes empty, with which a library does nothing; the database's number or flag, for which
/// that is no value, counts all the same once the library is loaded.
pub(super) fn set_back(names: &[String]) -> Option<String> {
    let rows: Vec<String> = values(names)
        .map(|(name, value)| format!("({}, {})", escape_literal(&name), escape_literal(&value)))
        .collect();
    if rows.is_empty() {
        return None;
    }
    Some(format!(
        "SELECT set_config(v.name, coalesce(s.boot_val, v.value), true) FROM (VALUES {}) AS v (name, value) \
         LEFT JOIN pg_settings s ON lower(s.name) = v.name \
         WHERE current_setting(v.name, true) IS NOT NULL AND coalesce(s.context, 'user') = 'user'",
        rows.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_becomes_empty() {
        assert_eq!(set_back(&[]), None);
        let names = ["plpgsql.check_asserts", "plv8.start_proc", "x'y.z"].map(str::to_owned);
        let sql = set_back(&names).unwrap();
        let rows =
            "(VALUES ('plpgsql.check_asserts', 'on'), ('plv8.start_proc', ''), ('x''y.z', ''))";
        assert!(sql.contains(rows), "{sql}");
    }
}
