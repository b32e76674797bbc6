// The extensions of a database that is there already, declared with the AWS CDK.
import { App, CfnOutput, CfnParameter, CustomResource, DefaultStackSynthesizer, Duration, Stack, StackProps } from "aws-cdk-lib";
import { Construct } from "constructs";

/** One element of `Extensions`; the others are in templates/properties.schema.json. */
export interface Extension {
  readonly Name: string;
  readonly Version?: string;
  readonly Schema?: string;
}

export interface PostgresExtensionsProps {
  /** The topic of the worker's stack. */
  readonly workerTopicArn: string;
  /** Name or ARN of the database's secret. */
  readonly secret: string;
  readonly extensions: (string | Extension)[];
  /** The engine's version: with another one CloudFormation sends an Update, and versions "default" follow. */
  readonly trigger?: string;
}

/** The extensions of one database. */
export class PostgresExtensions extends Construct {
  /** The declared extensions with their versions. */
  readonly installed: string;
  /** What the last create or update did. */
  readonly changes: string;

  constructor(scope: Construct, id: string, props: PostgresExtensionsProps) {
    super(scope, id);
    const resource = new CustomResource(this, "Resource", {
      resourceType: "Custom::PostgresExtensions",
      serviceToken: props.workerTopicArn,
      // Longer than a worker takes that scales to zero.
      serviceTimeout: Duration.minutes(30),
      properties: { DBSecret: props.secret, Extensions: props.extensions, Trigger: props.trigger },
    });
    this.installed = resource.getAttString("Extensions");
    this.changes = resource.getAttString("Changes");
  }
}

class ExampleStack extends Stack {
  constructor(scope: Construct, id: string, props?: StackProps) {
    super(scope, id, props);
    const topic = new CfnParameter(this, "WorkerTopicArn", { description: "The TopicArn of the worker's stack." });
    const secret = new CfnParameter(this, "Database", { description: "Name or ARN of the secret of the database." });
    const extensions = new PostgresExtensions(this, "Extensions", {
      workerTopicArn: topic.valueAsString,
      secret: secret.valueAsString,
      extensions: ["pgcrypto", { Name: "pg_trgm", Version: "default" }],
      trigger: "16.4",
    });
    new CfnOutput(this, "Installed", { value: extensions.installed });
    new CfnOutput(this, "Changes", { value: extensions.changes });
  }
}

// There are no assets, so that no bootstrap is needed.
const synthesizer = new DefaultStackSynthesizer({ generateBootstrapVersionRule: false });
const app = new App();
new ExampleStack(app, "Example", { synthesizer });
app.synth();
