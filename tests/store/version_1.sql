CREATE TABLE decisions (
	id VARCHAR(64) NOT NULL,
	created_at DATETIME NOT NULL,
	text TEXT,
	text_hash VARCHAR(64) NOT NULL,
	tools JSON,
	schema JSON,
	prompt_tokens INTEGER NOT NULL,
	session VARCHAR(128),
	answered_by VARCHAR(256) NOT NULL,
	confidence FLOAT NOT NULL,
	cost_usd FLOAT NOT NULL,
	draft_cost_usd FLOAT NOT NULL,
	judge_cost_usd FLOAT NOT NULL,
	reference VARCHAR(256) NOT NULL,
	saved_usd FLOAT NOT NULL,
	objective JSON NOT NULL,
	category VARCHAR(256) NOT NULL,
	labels JSON NOT NULL,
	familiarity FLOAT NOT NULL,
	forecast JSON NOT NULL,
	reason TEXT NOT NULL,
	abstained BOOLEAN NOT NULL,
	sticky BOOLEAN NOT NULL,
	warnings JSON NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX ix_decisions_created_at ON decisions (created_at);
CREATE INDEX ix_decisions_session ON decisions (session);
CREATE TABLE feedback (
	decision_id VARCHAR(64) NOT NULL,
	score FLOAT NOT NULL,
	given_at DATETIME NOT NULL,
	PRIMARY KEY (decision_id)
);
CREATE TABLE schema_version (
	version INTEGER NOT NULL,
	applied_at DATETIME NOT NULL,
	PRIMARY KEY (version)
);
CREATE TABLE attempts (
	decision_id VARCHAR(64) NOT NULL,
	position INTEGER NOT NULL,
	candidate VARCHAR(256) NOT NULL,
	response TEXT,
	response_hash VARCHAR(64),
	tool_calls JSON,
	answer TEXT,
	finish_reason VARCHAR(64),
	input_tokens INTEGER,
	output_tokens INTEGER,
	cached_input_tokens INTEGER,
	tokens_estimated BOOLEAN,
	cost_usd FLOAT NOT NULL,
	latency_s FLOAT,
	confidence FLOAT,
	cluster INTEGER,
	error TEXT,
	PRIMARY KEY (decision_id, position),
	FOREIGN KEY(decision_id) REFERENCES decisions (id) ON DELETE CASCADE
);
CREATE INDEX ix_attempts_candidate ON attempts (candidate);
CREATE TABLE verdicts (
	decision_id VARCHAR(64) NOT NULL,
	position INTEGER NOT NULL,
	judge VARCHAR(256) NOT NULL,
	candidate VARCHAR(256) NOT NULL,
	score FLOAT,
	reason TEXT,
	cost_usd FLOAT NOT NULL,
	latency_s FLOAT,
	PRIMARY KEY (decision_id, position),
	FOREIGN KEY(decision_id) REFERENCES decisions (id) ON DELETE CASCADE
);
