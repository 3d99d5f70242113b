package glovebox

// Step is one command of a job, run as one container of the job's sandbox.
type Step struct {
	// Key names the step within its job: letters, digits, "-", "_" and ".", at most 64.
	// Empty keys become "step-N", N counting from 1.
	Key string `json:"key,omitempty"`
	// Image is what the step sees as its root: "host" (the host's tools, read-only),
	// a registry reference, "docker-archive:PATH" or "oci:PATH[:TAG]".
	Image string `json:"image,omitempty"`
	// Run is a shell script, run by "sh -e". Exactly one of Run and Command is set.
	Run string `json:"run,omitempty"`
	// Command is an argument vector, run without a shell.
	Command []string `json:"command,omitempty"`
	// KeepGoing runs the script without "-e": it goes on after a failing command.
	KeepGoing bool `json:"keep_going,omitempty"`
	// Dir is the working directory relative to the workspace; its root when empty.
	Dir string `json:"dir,omitempty"`
	// Env is added to the image's environment.
	Env map[string]string `json:"env,omitempty"`
	// Secrets are names of secrets; their values arrive in the lease and become
	// environment variables of this step alone.
	Secrets []string `json:"secrets,omitempty"`
	// If says after which outcome of the steps before it the step runs: "success"
	// (the default), "failure" or "always".
	If string `json:"if,omitempty"`
	// Condition is a text that must come out as "true" for the step to run, besides If. It is
	// there for templates.
	Condition string `json:"condition,omitempty"`
	// Files are seen by this step alone.
	Files []StepFile `json:"files,omitempty"`
	// Outputs are values to take from the step when it ended well, by name; only in a templated job.
	Outputs map[string]StepOutput `json:"outputs,omitempty"`
	// Timeout bounds this step; the job's own timeout holds besides.
	Timeout Duration `json:"timeout,omitzero"`
}
