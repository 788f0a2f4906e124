// What each field of the record means. Kept out of the Worker's sources, so that its bundle does not carry prose; the types
// demand a text for every field that the schemas have.
import type * as z from "zod";
import type { AgentConfig, CrewConfig, CrewRun, TaskConfig } from "../src/crew-runs/record.ts";

type Texts<Schema extends z.core.$ZodType> = Record<keyof z.infer<Schema>, string>;

export const SCHEMA_DESCRIPTIONS = {
  CrewRun: "The persistent record of a crew run: what was asked for, what became of it, and when.",
  CrewConfig: "A CrewAI crew: its agents, and the tasks they work on.",
  AgentConfig: "An agent of a crew.",
  TaskConfig: "A task of a crew.",
};

const crewRun: Texts<typeof CrewRun> = {
  id: "Names the run. The canonical form of the UUID, in lower case, however the request spelled it.",
  correlation_id: "Ties the run to the request that started it and to the log lines that belong to it.",
  owner_id: "The subject (`sub`) of the owner's access token. Only the owner and admins can read the run.",
  status:
    "`pending`, then `running`, then `completed` or `failed`. The last two are final: the record does not change any more. " +
    "A run may also fail before it starts.",
  created_at: "When the run was accepted: RFC 3339, UTC, always six decimals.",
  crew_type: "The kind of crew, in the words of whoever started the run; `null` if it has none.",
  crew_config: "The crew that runs, with defaults filled in; `null` if none was recorded.",
  task_input:
    "What the crew was given to work on: an object with any members, or `null`. Numbers have the digits that were stored, " +
    "also beyond 2^53: read them with a parser that keeps them if they matter to you.",
  result: "What the crew produced, as text; `null` unless the run completed with a result. May be megabytes long.",
  error: "Why the run failed, in words; `null` unless it failed.",
  started_at:
    "When work began, in the form of `created_at`; `null` where that was not recorded, as for a run that waits.",
  completed_at:
    "When the run ended, in the form of `created_at`; `null` where that was not recorded, as for a run under way. " +
    "Whether a run has ended, `status` says.",
};

const crewConfig: Texts<typeof CrewConfig> = {
  agents: "The agents that make up the crew.",
  tasks: "The tasks, in the order in which they were given.",
  id: "Names the crew; `null` if it has no id.",
  verbose: "Whether the crew logs in detail.",
  process: "How the tasks are carried out: `sequential`, or another process that CrewAI knows.",
};

const agentConfig: Texts<typeof AgentConfig> = {
  role: "What the agent is in the crew.",
  goal: "What the agent is after.",
  backstory: "Who the agent is said to be: the context of its role and goal.",
  id: "Names the agent; `null` if it has no id.",
  verbose: "Whether the agent logs in detail.",
  allow_delegation: "Whether the agent may hand work to the others.",
  tools: "The names of the tools that the agent may use.",
  use_default_mcps: "Whether the agent may use the default MCP servers as well.",
};

const taskConfig: Texts<typeof TaskConfig> = {
  description: "What is to be done.",
  agent_index: "Which agent does it: a position in `agents`, from 0.",
  expected_output: "What the outcome should look like; empty if nothing was said.",
  tools: "The names of the tools for this task.",
};

export const FIELD_DESCRIPTIONS = {
  CrewRun: crewRun,
  CrewConfig: crewConfig,
  AgentConfig: agentConfig,
  TaskConfig: taskConfig,
};
