//! What must hold after a stack's history.

use std::collections::BTreeSet;

use super::history::{Declared, Version};
use super::stack::StackHistory;
use super::staged;

impl StackHistory<'_> {
    /// A request was carried out: what it says of versions holds from now on.
    pub(super) fn carried_out(&mut self, declared: &Declared) {
        self.forget_unused();
        for &database in &declared.databases {
            for (name, version) in &declared.extensions {
                if let Some(version) = version.text() {
                    self.versions.insert((database, name), Some(version));
                }
                for needed in with_requirements(name) {
                    // What is new has the server's default.
                    self.versions
                        .entry((database, needed))
                        .or_insert(Some("1.0"));
                }
            }
        }
    }

    /// A request may have been carried out, or not, or in some of its databases.
    pub(super) fn uncertain(&mut self, declared: &Declared) {
        for &database in declared.databases.iter().filter(|database| **database < 2) {
            let requested: BTreeSet<&str> = (declared.extensions.iter())
                .flat_map(|(name, _)| with_requirements(name))
                .collect();
            // What it drops comes back with the rollback, in the version that was declared or the server's default. What two
            // resources have, or was installed by hand, is not dropped.
            let owners = |name: &str| {
                let resources = self.resources.iter().flatten();
                let has = |declared: &Declared| {
                    let mut extensions = declared.extensions.iter();
                    declared.databases.contains(&database)
                        && extensions.any(|(own, _)| with_requirements(own).any(|own| own == name))
                };
                resources.filter(|resource| has(&resource.declared)).count()
            };
            for name in self.expected(database).difference(&requested) {
                if owners(name) == 1 && !(database == 0 && self.preinstalled.contains(name)) {
                    self.versions.insert((database, name), None);
                }
            }
        }
        for &database in &declared.databases {
            for (name, version) in &declared.extensions {
                if *version != Version::Unset {
                    for needed in with_requirements(name) {
                        self.versions.insert((database, needed), None);
                    }
                }
            }
        }
    }

    /// What is not there has no version.
    pub(super) fn forget_unused(&mut self) {
        let expected = [self.expected(0), self.expected(1), BTreeSet::new()];
        self.versions
            .retain(|(database, name), _| expected[*database].contains(name));
    }

    /// What must be installed: what live resources declare, what that requires, and what was there before.
    fn expected(&self, database: usize) -> BTreeSet<&'static str> {
        let declared = self
            .resources
            .iter()
            .flatten()
            .filter(|resource| resource.declared.databases.contains(&database))
            .flat_map(|resource| &resource.declared.extensions)
            .flat_map(|(name, _)| with_requirements(name));
        let preinstalled = self.preinstalled.iter().copied().filter(|_| database == 0);
        declared.chain(preinstalled).collect()
    }

    /// After a history: each database has what the live resources declare, in the versions that were declared last; what is not
    /// declared is untouched; every request was answered in one way only; and each update
    /// of the staged extension is in one place of the ledger.
    pub(super) async fn check(&self) -> Result<(), String> {
        for database in 0..self.world.admins.len() {
            let installed = self.world.installed(database).await;
            let names: BTreeSet<&str> = installed.keys().copied().collect();
            let expected = self.expected(database);
            if names != expected {
                return Err(format!(
                    "database {database} has {names:?}, and should have {expected:?}"
                ));
            }
            for ((of, name), version) in &self.versions {
                if let (true, Some(version)) = (*of == database, version)
                    && installed.get(name).map(String::as_str) != Some(*version)
                {
                    return Err(format!(
                        "database {database} has {name} {:?}, and should have {version}",
                        installed.get(name)
                    ));
                }
            }
        }
        for admin in &self.world.admins {
            staged::check(admin, self.world.name).await?;
        }
        for request in &self.past {
            let answers = self.world.answers.of(&request.key);
            if answers.windows(2).any(|two| two[0] != two[1]) {
                return Err(format!("answered in several ways: {answers:#?}"));
            }
        }
        Ok(())
    }
}

/// The extension, and what it requires.
pub(super) fn with_requirements(name: &&'static str) -> impl Iterator<Item = &'static str> + use<> {
    let name = *name;
    [Some(name), (name == "b").then_some("a")]
        .into_iter()
        .flatten()
}
