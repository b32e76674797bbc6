//! One stack's history: what CloudFormation does with its three resources.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use futures_util::future::join;

use super::expectations::with_requirements;
use super::history::{Change, Declared, History, Operation};
use super::requests::{Request, acknowledge};
use super::world::World;

/// A resource as CloudFormation knows it.
#[derive(Debug, Clone)]
pub(super) struct Resource {
    id: String,
    pub(super) declared: Declared,
}

/// The stack, and what it should have led to.
pub(super) struct StackHistory<'a> {
    pub(super) world: &'a World,
    pub(super) stack_id: String,
    pub(super) resources: [Option<Resource>; 3],
    pub(super) past: Vec<Rc<Request>>,
    /// What was installed by hand, in the first database, with what it requires.
    pub(super) preinstalled: BTreeSet<&'static str>,
    /// The version of each extension in each database; none where it is not certain.
    pub(super) versions: BTreeMap<(usize, &'static str), Option<&'static str>>,
}

impl<'a> StackHistory<'a> {
    /// Runs a history, and checks what it led to, before and after its resources are deleted.
    ///
    /// # Errors
    /// What does not hold.
    pub(super) async fn run(world: &'a World, history: &History) -> Result<(), String> {
        let number = world.begin_history().await;
        let mut stack = Self {
            world,
            stack_id: format!(
                "arn:aws:cloudformation:us-east-1:123456789012:stack/{}/{number}",
                world.name
            ),
            resources: [None, None, None],
            past: Vec::new(),
            preinstalled: BTreeSet::new(),
            versions: BTreeMap::new(),
        };
        stack.preinstall(&history.preinstalled).await;
        for operation in &history.operations {
            stack.run_operation(operation).await?;
        }
        stack.drain().await?;
        stack.check().await?;
        for resource in 0..stack.resources.len() {
            stack.remove(resource, None).await?;
        }
        stack.check().await
    }

    async fn preinstall(&mut self, extensions: &[&'static str]) {
        for extension in extensions {
            self.world.admins[0]
                .batch_execute(&format!(
                    "CREATE EXTENSION h_{}_{extension} CASCADE",
                    self.world.name
                ))
                .await
                .unwrap();
            for name in with_requirements(extension) {
                self.preinstalled.insert(name);
                self.versions.insert((0, name), Some("1.0"));
            }
        }
    }

    async fn run_operation(&mut self, operation: &Operation) -> Result<(), String> {
        match (
            &operation.change,
            self.resources[operation.resource].clone(),
        ) {
            (Change::Declare(declared), None) => self.create(operation, declared).await?,
            (Change::Declare(declared), Some(now)) => {
                self.update(operation, &now, declared).await?
            }
            (Change::Remove, Some(_)) => self.remove(operation.resource, Some(operation)).await?,
            (Change::Remove, None) => {}
        }
        for redelivery in &operation.redeliveries {
            if !self.past.is_empty() {
                let request = Rc::clone(redelivery.get(&self.past));
                self.deliver_undisturbed(&request).await?;
            }
        }
        Ok(())
    }

    async fn create(&mut self, operation: &Operation, declared: &Declared) -> Result<(), String> {
        let create = self.publish(operation.resource, "Create", None, declared, None);
        match self.result(&create, Some(operation)).await? {
            Some(answer) if answer.succeeded => {
                self.resources[operation.resource] = Some(Resource {
                    id: answer.id,
                    declared: declared.clone(),
                });
                self.carried_out(declared);
            }
            Some(answer) => {
                self.uncertain(declared);
                let delete = self.publish(
                    operation.resource,
                    "Delete",
                    Some(&answer.id),
                    declared,
                    None,
                );
                self.must_succeed(&delete).await?;
            }
            None => {
                self.uncertain(declared);
                let delete = self.publish(
                    operation.resource,
                    "Delete",
                    Some("app-R-PLACEHOLDER"),
                    declared,
                    None,
                );
                if operation.at_once {
                    let (first, second) = join(
                        self.world.handle(0, &create.body, None),
                        self.world.handle(1, &delete.body, None),
                    )
                    .await;
                    acknowledge(&create, first)?;
                    acknowledge(&delete, second)?;
                }
                self.must_succeed(&delete).await?;
            }
        }
        Ok(())
    }

    async fn update(
        &mut self,
        operation: &Operation,
        now: &Resource,
        declared: &Declared,
    ) -> Result<(), String> {
        let update = self.publish(
            operation.resource,
            "Update",
            Some(&now.id),
            declared,
            Some(&now.declared),
        );
        let answer = self.result(&update, Some(operation)).await?;
        let answer = match answer {
            Some(answer) if answer.succeeded => answer,
            other => {
                self.uncertain(declared);
                let id = other.map_or_else(|| now.id.clone(), |failed| failed.id);
                let back = self.publish(
                    operation.resource,
                    "Update",
                    Some(&id),
                    &now.declared,
                    Some(declared),
                );
                let answer = self.must_succeed(&back).await?;
                if answer.id != now.id {
                    return Err(format!(
                        "the rollback gave id {}, not {}",
                        answer.id, now.id
                    ));
                }
                self.carried_out(&now.declared);
                return Ok(());
            }
        };
        if (answer.id != now.id) != (declared.alias != now.declared.alias) {
            return Err(format!("{} became {}", now.id, answer.id));
        }
        self.resources[operation.resource] = Some(Resource {
            id: answer.id.clone(),
            declared: declared.clone(),
        });
        self.carried_out(declared);
        if answer.id != now.id {
            let cleanup = self.publish(
                operation.resource,
                "Delete",
                Some(&now.id),
                &now.declared,
                None,
            );
            self.must_succeed(&cleanup).await?;
            // Nothing else removes what the old databases had, and the new do not.
            self.forget_unused();
        }
        Ok(())
    }

    async fn remove(
        &mut self,
        resource: usize,
        operation: Option<&Operation>,
    ) -> Result<(), String> {
        let Some(now) = self.resources[resource].clone() else {
            return Ok(());
        };
        let delete = self.publish(resource, "Delete", Some(&now.id), &now.declared, None);
        match self.result(&delete, operation).await? {
            Some(answer) if answer.succeeded => {}
            Some(answer) => return Err(format!("a Delete failed: {}", answer.reason)),
            None => {
                let again = self.publish(resource, "Delete", Some(&now.id), &now.declared, None);
                self.must_succeed(&again).await?;
            }
        }
        self.resources[resource] = None;
        self.forget_unused();
        Ok(())
    }
}
