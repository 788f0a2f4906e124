// The record of a run. Generated from the API's schema by `npm run fix`.

/** The persistent record of a crew run: its input, its result, and when it ran. */
export interface CrewRun {
  /** The run's id: the canonical form of the UUID in lower case, however the request spelled it. */
  id: string;
  /** Ties the run to the request that started it and to its log lines. */
  correlation_id: string;
  /** The subject (`sub`) of the owner's access token. Only the owner and admins can read the run. */
  owner_id: string;
  /** `pending`, then `running`, then `completed` or `failed`. The last two are final: the record doesn't change after them. A run may also fail before it starts. */
  status: "pending" | "running" | "completed" | "failed";
  /** When the run was accepted: RFC 3339, UTC, always six decimals. */
  created_at: string;
  /** The kind of crew, as free text; `null` if it has none. */
  crew_type: string | null;
  /** The crew, with defaults filled in and without unknown keys; `null` if none was recorded. */
  crew_config: CrewConfig | null;
  /** The crew's input: an object with any fields, or `null`. Numbers have all stored digits, even beyond 2^53. */
  task_input: Record<string, unknown> | null;
  /** The crew's output as text, perhaps megabytes, or `null`. Usually only a completed run has one, but nothing enforces that: check `status`. */
  result: string | null;
  /** Why the run failed, in words, or `null`. Usually only a failed run has one: check `status`. */
  error: string | null;
  /** When the run started, in the form of `created_at`; `null` if that wasn't recorded, as in a pending run. */
  started_at: string | null;
  /** When the run ended, in the form of `created_at`; `null` if that wasn't recorded, as in a running run. Check `status` to find out whether a run has ended. */
  completed_at: string | null;
}

/** A CrewAI crew: its agents and their tasks. */
export interface CrewConfig {
  /** The crew's agents. */
  agents: AgentConfig[];
  /** The tasks, in their original order. */
  tasks: TaskConfig[];
  /** The crew's id; `null` if it has none. */
  id: string | null;
  /** Whether the crew logs in detail. */
  verbose: boolean;
  /** How the tasks are executed: `sequential`, or another process of CrewAI. */
  process: string;
}

/** An agent of a crew. */
export interface AgentConfig {
  /** The agent's role in the crew. */
  role: string;
  /** The agent's goal. */
  goal: string;
  /** The agent's background: context for its role and goal. */
  backstory: string;
  /** The agent's id; `null` if it has none. */
  id: string | null;
  /** Whether the agent logs in detail. */
  verbose: boolean;
  /** Whether the agent may delegate work to the others. */
  allow_delegation: boolean;
  /** The names of the tools that the agent may use. */
  tools: string[];
  /** Whether the agent may use the default MCP servers as well. */
  use_default_mcps: boolean;
}

/** A task of a crew. */
export interface TaskConfig {
  /** The work to be done. */
  description: string;
  /** The agent that does the task: a position in `agents`, from 0. */
  agent_index: number;
  /** A description of the expected result; empty if there is none. */
  expected_output: string;
  /** The names of the tools for this task. */
  tools: string[];
}
