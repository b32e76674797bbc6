//! The members of an installed extension, and changes to it since its creation: they have to be the same after it was
//! dropped and created again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// The observation of an extension.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub(crate) struct Members {
    /// The schema of its objects.
    pub(crate) schema: String,
    /// The extension itself and its objects, as PostgreSQL identifies them: `function public.f(integer)`.
    pub(crate) objects: BTreeMap<String, Member>,
    /// Comments and security labels, of columns too.
    pub(crate) remarks: BTreeMap<String, String>,
    /// Objects that do not belong to the extension, and are dropped with one of its objects: indexes, triggers, policies,
    /// rules, statistics, publications.
    pub(crate) attached: BTreeSet<String>,
    /// The superuser that initialized the server.
    pub(crate) server_owner: String,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Member {
    /// The role.
    pub(crate) owner: String,
    /// How its rights differ from those at its creation.
    pub(crate) rights: BTreeSet<String>,
}

impl Members {
    /// Describes what would be lost; empty if nothing is.
    pub(crate) fn lost(&self, after: &Self) -> Vec<String> {
        let mut lost = Vec::new();
        if self.schema != after.schema {
            let (from, to) = (&self.schema, &after.schema);
            lost.push(format!(
                "its objects would be in schema {to}, not in {from}"
            ));
        }
        for (name, before) in &self.objects {
            let now = after.objects.get(name);
            let rights = now.map(|now| &now.rights);
            if rights.unwrap_or(&BTreeSet::new()) != &before.rights {
                let rights: Vec<&str> = before.rights.iter().map(String::as_str).collect();
                lost.push(format!(
                    "rights on {name} would change ({})",
                    rights.join(", ")
                ));
            }
            // pg_upgrade gives every extension to this superuser, and keeps the owners of its objects.
            let is_upgraded = before.owner == self.server_owner && name.starts_with("extension ");
            let is_anothers = |now: &&Member| now.owner != before.owner && !is_upgraded;
            if let Some(now) = now.filter(is_anothers) {
                let (from, to) = (&before.owner, &now.owner);
                lost.push(format!(
                    "{name} would belong to role \"{to}\", not to \"{from}\""
                ));
            }
        }
        for (name, text) in &self.remarks {
            // Objects that the new version no longer has have no comments or rights to compare.
            let is_there = after
                .objects
                .keys()
                .any(|object| name.ends_with(object.as_str()));
            if is_there && after.remarks.get(name) != Some(text) {
                lost.push(format!("the {name} would change (\"{text}\")"));
            }
        }
        let attached = self.attached.difference(&after.attached);
        lost.extend(attached.map(|name| format!("{name} would be gone")));
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(objects: &[(&str, &str, &[&str])]) -> Members {
        Members {
            schema: "public".to_owned(),
            objects: objects
                .iter()
                .map(|(name, owner, rights)| {
                    let member = Member {
                        owner: (*owner).to_owned(),
                        rights: rights.iter().map(|&right| right.to_owned()).collect(),
                    };
                    ((*name).to_owned(), member)
                })
                .collect(),
            ..Members::default()
        }
    }

    #[test]
    fn an_extension_that_pg_upgrade_left_to_the_servers_superuser_may_belong_to_its_creator() {
        let of_superuser = Members {
            server_owner: "postgres".to_owned(),
            ..look(&[("extension e", "postgres", &[])])
        };
        let of_worker = look(&[("extension e", "worker", &[])]);
        assert!(of_superuser.lost(&of_worker).is_empty());
        assert_eq!(of_worker.lost(&of_superuser).len(), 1);
        let of_superuser = Members {
            server_owner: "postgres".to_owned(),
            ..look(&[("function e()", "postgres", &[])])
        };
        let of_worker = look(&[("function e()", "worker", &[])]);
        assert_eq!(of_superuser.lost(&of_worker).len(), 1);
    }

    #[test]
    fn what_the_new_version_adds_or_no_longer_has_is_no_loss() {
        let before = look(&[("function f()", "app", &[]), ("function g()", "app", &[])]);
        let after = look(&[("function f()", "app", &[]), ("function h()", "app", &[])]);
        assert!(before.lost(&after).is_empty());
    }

    #[test]
    fn rights_owners_schema_remarks_and_what_is_attached_are_compared() {
        let mut before = look(&[
            ("function f()", "app", &["+monitor=X/app"]),
            ("function gone()", "app", &["-=X/app"]),
            ("table t", "app", &[]),
        ]);
        before.attached.insert("index i".to_owned());
        before
            .remarks
            .insert("comment on table t".to_owned(), "mine".to_owned());
        before.remarks.insert(
            "comment on function old()".to_owned(),
            "script's".to_owned(),
        );
        let mut after = look(&[("function f()", "app", &[]), ("table t", "other", &[])]);
        after.schema = "elsewhere".to_owned();
        insta::assert_snapshot!(before.lost(&after).join("\n"), @r#"
        its objects would be in schema elsewhere, not in public
        rights on function f() would change (+monitor=X/app)
        rights on function gone() would change (-=X/app)
        table t would belong to role "other", not to "app"
        the comment on table t would change ("mine")
        index i would be gone
        "#);
        assert!(before.lost(&before).is_empty());
    }
}
