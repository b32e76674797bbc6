//! Stacks in LocalStack's CloudFormation.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::types::{Capability, Parameter, StackStatus};
use serde_json::{Value, json};

use super::eventually;

/// A stack with one custom resource called `Extensions`.
pub(crate) struct Stack {
    stack: TemplateStack,
    topic_arn: String,
    resource_type: &'static str,
}

impl Stack {
    pub(super) fn new(stack: TemplateStack, topic_arn: &str) -> Self {
        Self {
            stack,
            topic_arn: topic_arn.to_owned(),
            resource_type: "Custom::PostgresExtensions",
        }
    }

    /// With the older type.
    pub(crate) fn execute_sql(mut self) -> Self {
        self.resource_type = "Custom::ExecuteSQL";
        self
    }

    /// Creates the stack and waits for the end. `attributes` become outputs.
    pub(crate) async fn create(&self, properties: &Value, attributes: &[&str]) -> Outcome {
        self.submit_create(properties, attributes).await;
        self.finish().await
    }

    /// The stack's ARN.
    pub(crate) async fn id(&self) -> String {
        self.stack.id().await
    }

    /// Creates the stack and does not wait.
    pub(crate) async fn submit_create(&self, properties: &Value, attributes: &[&str]) {
        let template = self.template(properties, attributes);
        self.stack.submit_create(&template, &[]).await;
    }

    /// Updates the stack and waits for the end.
    pub(crate) async fn update(&self, properties: &Value, attributes: &[&str]) -> Outcome {
        let template = self.template(properties, attributes);
        self.stack.update(&template, &[]).await
    }

    /// Deletes the stack and waits for the end.
    pub(crate) async fn delete(&self) -> String {
        self.stack.delete().await
    }

    /// Waits for the end of what is under way.
    pub(crate) async fn finish(&self) -> Outcome {
        self.stack.finish().await
    }

    fn template(&self, properties: &Value, attributes: &[&str]) -> String {
        let mut properties = properties.clone();
        properties["ServiceToken"] = json!(self.topic_arn);
        let mut outputs = json!({"Id": {"Value": {"Ref": "Extensions"}}});
        for attribute in attributes {
            let value = json!({"Fn::GetAtt": ["Extensions", attribute]});
            outputs[attribute.replace('_', "")] = json!({"Value": value});
        }
        json!({
            "Resources": {"Extensions": {"Type": self.resource_type, "Properties": properties}},
            "Outputs": outputs,
        })
        .to_string()
    }
}

/// How an operation on a stack ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: String,
    /// Of the resource, where it failed.
    pub(crate) reason: String,
    pub(crate) outputs: BTreeMap<String, String>,
}

/// A stack of any template.
pub(crate) struct TemplateStack {
    cloudformation: Client,
    pub(crate) name: String,
}

impl TemplateStack {
    pub(super) fn new(cloudformation: Client, name: &str) -> Self {
        Self {
            cloudformation,
            name: name.to_owned(),
        }
    }

    /// Creates the stack and waits for the end.
    pub(crate) async fn create(&self, template: &str, parameters: &[(&str, &str)]) -> Outcome {
        self.submit_create(template, parameters).await;
        self.finish().await
    }

    async fn id(&self) -> String {
        self.describe(&self.name).await.stack_id.unwrap()
    }

    /// Creates the stack and does not wait.
    pub(crate) async fn submit_create(&self, template: &str, parameters: &[(&str, &str)]) {
        self.cloudformation
            .create_stack()
            .stack_name(&self.name)
            .template_body(template)
            .set_parameters(Some(given(parameters)))
            .capabilities(Capability::CapabilityIam)
            .send()
            .await
            .unwrap();
    }

    /// Updates the stack and waits for the end.
    pub(crate) async fn update(&self, template: &str, parameters: &[(&str, &str)]) -> Outcome {
        self.cloudformation
            .update_stack()
            .stack_name(&self.name)
            .template_body(template)
            .set_parameters(Some(given(parameters)))
            .capabilities(Capability::CapabilityIam)
            .send()
            .await
            .unwrap();
        self.finish().await
    }

    /// Deletes the stack and waits for the end.
    pub(crate) async fn delete(&self) -> String {
        let id = self.describe(&self.name).await.stack_id.unwrap();
        self.cloudformation
            .delete_stack()
            .stack_name(&self.name)
            .send()
            .await
            .unwrap();
        eventually("the stack's deletion", async || {
            let status = self.describe(&id).await.stack_status.unwrap();
            (!in_progress(&status)).then(|| status.as_str().to_owned())
        })
        .await
    }

    /// Waits for the end of what is under way.
    pub(crate) async fn finish(&self) -> Outcome {
        let stack = eventually("the end of the stack's operation", async || {
            let stack = self.describe(&self.name).await;
            (!in_progress(stack.stack_status.as_ref().unwrap())).then_some(stack)
        })
        .await;
        let outputs = stack.outputs.unwrap_or_default().into_iter();
        Outcome {
            status: stack.stack_status.unwrap().as_str().to_owned(),
            reason: self.reason().await,
            outputs: outputs
                .map(|output| (output.output_key.unwrap(), output.output_value.unwrap()))
                .collect(),
        }
    }

    async fn describe(&self, name: &str) -> aws_sdk_cloudformation::types::Stack {
        let described = self
            .cloudformation
            .describe_stacks()
            .stack_name(name)
            .send()
            .await
            .unwrap();
        described.stacks.unwrap().pop().unwrap()
    }

    /// Why a resource failed last.
    async fn reason(&self) -> String {
        let events = self
            .cloudformation
            .describe_stack_events()
            .stack_name(&self.name)
            .send()
            .await
            .unwrap();
        events
            .stack_events
            .unwrap_or_default()
            .into_iter()
            .filter(|event| {
                event
                    .resource_type
                    .as_deref()
                    .is_some_and(|kind| kind != "AWS::CloudFormation::Stack")
            })
            .filter(|event| {
                event
                    .resource_status
                    .as_ref()
                    .is_some_and(|status| status.as_str().ends_with("FAILED"))
            })
            .find_map(|event| event.resource_status_reason)
            .unwrap_or_default()
    }
}

fn given(parameters: &[(&str, &str)]) -> Vec<Parameter> {
    let parameter = |(key, value): &(&str, &str)| {
        let parameter = Parameter::builder().parameter_key(*key);
        parameter.parameter_value(*value).build()
    };
    parameters.iter().map(parameter).collect()
}

fn in_progress(status: &StackStatus) -> bool {
    status.as_str().ends_with("_IN_PROGRESS")
}
