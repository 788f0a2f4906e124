// What each field of the record means. Not in the Worker's sources, so that its bundle contains no prose. The types require a
// text for every field of the schemas.
import type * as z from "zod";
import type { AgentConfig, CrewConfig, CrewRun, TaskConfig } from "../src/crew-runs/record.ts";

type Texts<Schema extends z.core.$ZodType> = Record<keyof z.infer<Schema>, string>;

export const SCHEMA_DESCRIPTIONS = {
  CrewRun: "The persistent record of a crew run: its input, its result, and when it ran.",
  CrewConfig: "A CrewAI crew: its agents and their tasks.",
  AgentConfig: "An agent of a crew.",
  TaskConfig: "A task of a crew.",
};

const crewRun: Texts<typeof CrewRun> = {
  id: "The run's id: the canonical form of the UUID in lower case, however the request spelled it.",
  correlation_id: "Ties the run to the request that started it and to its log lines.",
  owner_id: "The subject (`sub`) of the owner's access token. Only the owner and admins can read the run.",
  status:
    "`pending`, then `running`, then `completed` or `failed`. The last two are final: the record doesn't change after them. " +
    "A run may also fail before it starts.",
  created_at: "When the run was accepted: RFC 3339, UTC, always six decimals.",
  crew_type: "The kind of crew, as free text; `null` if it has none.",
  crew_config: "The crew, with defaults filled in; `null` if none was recorded.",
  task_input:
    "The crew's input: an object with any members, or `null`. Numbers have all stored digits, even beyond 2^53: if they " +
    "matter, read them with a parser that preserves digits.",
  result: "The crew's output as text; `null` unless the run completed with a result. May be megabytes long.",
  error: "Why the run failed, in words; `null` unless it failed.",
  started_at: "When the run started, in the form of `created_at`; `null` if that wasn't recorded, as in a pending run.",
  completed_at:
    "When the run ended, in the form of `created_at`; `null` if that wasn't recorded, as in a running run. " +
    "Check `status` to find out whether a run has ended.",
};

const crewConfig: Texts<typeof CrewConfig> = {
  agents: "The crew's agents.",
  tasks: "The tasks, in their original order.",
  id: "The crew's id; `null` if it has none.",
  verbose: "Whether the crew logs in detail.",
  process: "How the tasks are executed: `sequential`, or another process of CrewAI.",
};

const agentConfig: Texts<typeof AgentConfig> = {
  role: "The agent's role in the crew.",
  goal: "The agent's goal.",
  backstory: "The agent's background: context for its role and goal.",
  id: "The agent's id; `null` if it has none.",
  verbose: "Whether the agent logs in detail.",
  allow_delegation: "Whether the agent may delegate work to the others.",
  tools: "The names of the tools that the agent may use.",
  use_default_mcps: "Whether the agent may use the default MCP servers as well.",
};

const taskConfig: Texts<typeof TaskConfig> = {
  description: "The work to be done.",
  agent_index: "The agent that does the task: a position in `agents`, from 0.",
  expected_output: "A description of the expected result; empty if there is none.",
  tools: "The names of the tools for this task.",
};

export const FIELD_DESCRIPTIONS = {
  CrewRun: crewRun,
  CrewConfig: crewConfig,
  AgentConfig: agentConfig,
  TaskConfig: taskConfig,
};
