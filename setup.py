"""Maps the top-level folders to the import name and ships the twistd plugin."""

from setuptools import setup

FOLDERS = {
    "runyard.daemon": "daemon",
    "runyard.protocols": "protocols",
    "runyard.sched": "sched",
    "runyard.worker": "worker",
    "runyard.worker.formats": "worker/formats",
    "runyard.worker.network": "worker/network",
    "runyard.worker.sandbox": "worker/sandbox",
    "runyard.worker.sandbox.jail": "worker/sandbox/jail",
    "runyard.worker.sandbox.kernel": "worker/sandbox/kernel",
    "runyard.worker.sandbox.cgroups": "worker/sandbox/cgroups",
}

setup(
    name="runyard",
    version="0.1.0",
    description="Takes code over HTTP, runs it on a fleet of workers, answers with what happened.",
    license="MIT",
    python_requires=">=3.11",
    package_dir={**FOLDERS, "twisted.plugins": "twisted/plugins"},
    package_data={"runyard.sched": ["page/*"]},
    packages=[*FOLDERS, "twisted.plugins"],
    install_requires=[
        "Twisted[tls]>=24.10,<27",
        "pyOpenSSL>=25",
        "klein>=24.8,<25",
        "werkzeug>=3.1,<4",
        "attrs>=24.2",
        "multipart>=2,<3",
        "pydantic>=2.10,<3",
        "cryptography>=44",
        "zope.interface>=7",
        "jsonschema>=4.23,<5",
    ],
    extras_require={
        "dev": [
            "pytest>=9,<10",
            "pytest-twisted>=1.14.3,<2",
            "pytest-xdist>=3.6,<4",
            "hypothesis>=6.150,<7",
            "requests>=2.32,<3",
            "beautifulsoup4>=4.12,<5",
            "treq>=25.5",
            "psutil>=7,<8",
            "selenium>=4.30,<5",
            "schemathesis>=4.32,<4.33",
            "mypy>=2.4,<3",
            "mypy-zope>=1.0.17,<2",
            "types-requests>=2.32",
            "types-psutil>=7",
            "ruff>=0.17,<0.18",
            "setuptools>=77",
            "wheel>=0.45",
        ],
    },
)
