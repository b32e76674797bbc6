//! Settings of libraries that a session has not loaded. PostgreSQL checks such a setting when the library is loaded, and
//! lists it in `pg_settings` only from then on.
//!
//! The owner of a database may set those that need no privilege, after loading the library in a session: for instance
//! whether PL/pgSQL checks assertions, or the function that PL/v8 calls first (`plv8.start_proc`), which would run as the
//! worker in the first script or event trigger of that language. A setting whose class belongs to no library can be set for
//! a database or a role only by a superuser, who is trusted; it is not reset.

use postgres_protocol::escape::escape_literal;

/// An SQL expression: the names of the settings of the database or the role that belong to the library of an installed
/// extension. The names of a library's settings begin with the extension's name.
pub(super) const NAMES: &str = "(SELECT coalesce(json_agg(DISTINCT named.name), '[]')
   FROM pg_db_role_setting g
   LEFT JOIN pg_database d ON d.oid = g.setdatabase LEFT JOIN pg_roles r ON r.oid = g.setrole
   CROSS JOIN LATERAL unnest(g.setconfig) c
   CROSS JOIN LATERAL (SELECT lower(split_part(c, '=', 1)) AS name) named
   JOIN pg_extension e ON e.extname = split_part(named.name, '.', 1)
   WHERE named.name LIKE '%.%' AND (g.setdatabase = 0 OR d.datname = current_database())
     AND (g.setrole = 0 OR r.rolname = session_user))";

/// PL/pgSQL's own default values.
const KNOWN: [(&str, &str); 4] = [
    ("plpgsql.check_asserts", "on"),
    ("plpgsql.extra_errors", "none"),
    ("plpgsql.extra_warnings", "none"),
    ("plpgsql.print_strict_params", "off"),
];

/// The value to which each setting is reset if its library is not loaded.
pub(super) fn values(names: &[String]) -> impl Iterator<Item = (String, String)> {
    names.iter().map(|name| {
        let known = KNOWN.iter().find(|(known, _)| known == name);
        let value = known.map_or("", |(_, value)| value);
        (name.clone(), value.to_owned())
    })
}

/// The statement that resets these settings, LOCAL to the transaction; `None` if there are none. It resolves names only in
/// `pg_catalog`, which is the transaction's `search_path`.
///
/// It checks each time whether the library is loaded. If it is, its own default is known, and a setting that needs a
/// privilege is kept. If it is not, a text setting becomes empty, with which a library does nothing; a number or a flag of
/// the database stays in effect when the library is loaded, because an empty text is no value for it.
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
