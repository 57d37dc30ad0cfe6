"""The two commands of twistd."""

from twisted.application.service import ServiceMaker

scheduler = ServiceMaker("scheduler", "runyard.sched.tap", "Take code, give results.", "scheduler")
worker = ServiceMaker("worker", "runyard.worker.tap", "Run tasks for a scheduler.", "worker")
