"""Programs that end by exceptions in odd ways, for the hook. `say` marks that they were run."""

from __future__ import annotations

SAY = """
import os, sys
def say(*_, **__):
    real_write(1, b'<the program was run> ')
    return 'said'
real_write = os.write
"""

HOSTILE = {
    "repr": "class A:\n __repr__ = __str__ = __hash__ = __eq__ = __bool__ = __len__ = say\n"
    "def f(a): 1/0\nf(A())",
    "str_of_the_exception": "class E(Exception): __repr__ = __str__ = say\nraise E(1)",
    "repr_by_objects_str": "class E(Exception):\n __str__ = object.__str__\n"
    " __repr__ = say\nraise E",
    "getattr": "class A:\n __getattr__ = __getattribute__ = say\ndef f(a): 1/0\nf(A())",
    "class_property": "class A:\n __class__ = property(say)\ndef f(a): 1/0\nf(A())",
    "dict_property": "class A:\n __dict__ = property(say)\ndef f(a): 1/0\nf(A())",
    "slots_and_dict": "class A:\n __slots__ = ('__dict__', 'x')\ndef f(a): 1/0\nf(A())",
    "metaclass": "class M(type):\n __eq__ = __repr__ = __getattribute__ = __instancecheck__ = say\n"
    " __subclasscheck__ = say\n __hash__ = type.__hash__\n"
    "class A(metaclass=M): pass\ndef f(a, b): 1/0\nf(A(), A)",
    "mro": "class M(type):\n def mro(cls): return [cls, object]\n __mro__ = property(say)\n"
    "class A(metaclass=M): pass\ndef f(a, b): 1/0\nf(A(), A)",
    "subclassed": "def sub(k):\n"
    " return type('S', (k,), dict(__repr__=say, __str__=say, __iter__=say, __len__=say,"
    " __format__=say, items=say, bit_length=say, __getitem__=say))\n"
    "def f(*a): 1/0\nf(sub(int)(3), sub(str)('x'), sub(list)([1]), sub(dict)(a=1), sub(float)(2),"
    " sub(tuple)((1,)), sub(set)({1}), range(sub(int)(4)), [sub(bytes)(b'')])",
    "text_of_a_class": "class S(str):\n"
    " __eq__ = __len__ = __format__ = __str__ = __getitem__ = say\n __hash__ = str.__hash__\n"
    "class A: pass\nA.__module__ = S('m')\nA.__name__ = S('N')\ndef f(a): 1/0\nf(A())",
    "text_of_code": "class S(str):\n"
    " __eq__ = __len__ = __format__ = __str__ = say\n __hash__ = str.__hash__\n"
    "def f(): 1/0\nf.__code__ = f.__code__.replace(co_filename=S('main.py'), co_name=S('f'))\n"
    "try: f()\nexcept Exception as e: sys.last_value = e; sys.exit(1)",
    "keys": "class K(str):\n __eq__ = say\n def __hash__(self): return hash(str(self))\n"
    "A = type('A', (Exception,), {K('__module__'): 1, K('__str__'): 2, K('__dict__'): 3})\n"
    "def f(a): raise a\nf(A())",
    "filename": "class F:\n __str__ = __repr__ = say\n"
    "e = OSError(2, 'gone', 'x')\ne.filename = F()\n"
    "try: raise e\nexcept OSError as e: sys.last_value = e; sys.exit(1)",
    "reason": "class F:\n __str__ = __repr__ = say\n"
    "try: b'\\xff'.decode()\nexcept ValueError as e:\n e.reason = F()\n sys.last_value = e\n"
    " sys.exit(1)",
    "namespace": "class N(dict):\n"
    " def __setitem__(self, k, v):\n  say()\n  dict.__setitem__(self, k, v)\n"
    " def __delitem__(self, k):\n  say()\n"
    "class M(type):\n @classmethod\n def __prepare__(*_): return N()\n"
    "class A(metaclass=M):\n def f(self): __class__\n 1/0",
    "functions": "import posix\n"
    "for name in ('open', 'read', 'write', 'close', 'fstat', 'getpid'):\n"
    " setattr(os, name, say); setattr(posix, name, say)\n1/0",
    "builtins": "import builtins\n"
    "class T(type):\n"
    " def __call__(self, *a): say()\n"
    "for name in ('len', 'repr', 'isinstance', 'issubclass', 'getattr', 'list', 'any', 'all',"
    " 'min', 'sum', 'ord', 'object', 'next', 'enumerate', 'reversed', 'hasattr'):\n"
    " setattr(builtins, name, say)\ndef f(): 1/0\nf()",
    "modules": "import types\n"
    "class M(types.ModuleType):\n __getattribute__ = say\n"
    "for name in list(sys.modules):\n"
    " if name in ('os', 'posix', 'json', 'linecache', 'faulthandler', 'gc', 'sitecustomize'):\n"
    "  sys.modules[name] = M(name)\n1/0",
    "system": "import itertools, traceback, types\n"
    "class M(types.ModuleType):\n"
    " def __getattribute__(self, n):\n  say()\n"
    "  return types.ModuleType.__getattribute__(self, n)\n"
    "sys.__class__ = M\n1/0",
    "excepthook": "sys.excepthook = lambda *a: (say(), print(a[1]))\n1/0",
    "trace": "import itertools, traceback\n"
    "def t(*a): say()\nsys.settrace(t); sys.setprofile(t)\n1/0",
    "garbage": "import gc\n"
    "class A:\n __del__ = say\ngc.set_threshold(1)\ngc.callbacks.append(say)\n"
    "for _ in range(50):\n a = A(); a.a = a\n del a\ngc.callbacks.clear()\n1/0",
}

ENDS = {
    "fork": "pid = os.fork()\nif not pid: raise KeyError('child')\nos.wait()\nraise ValueError(1)",
    "forked_alone": "pid = os.fork()\nif not pid: raise KeyError('child')\nos.wait()",
    "exec": "sys.stdout.flush()\nos.execv(sys.executable, [sys.executable, '-c', '1/0'])",
    "closed_input": "os.close(0)\n1/0",
    "input_is_output": "os.dup2(1, 0)\n1/0",
    "input_is_a_file": "fd = os.open('x', os.O_RDWR | os.O_CREAT)\nos.dup2(fd, 0)\n"
    "import atexit\n1/0",
    "no_exit_handlers": "import atexit\natexit._clear()\n1/0",
    "no_descriptors": "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))\n1/0",
    "elsewhere": "os.mkdir('y')\nos.chdir('y')\n1/0",
    "no_file": "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n1/0",
    "exit_texts": "sys.exit('text')",
    "exit_in_exit": "import atexit\natexit.register(lambda: sys.exit(3))\n1/0",
    "closed_output": "sys.stdout.close()\nos.close(1)\n1/0",
    "interrupted": "raise KeyboardInterrupt",
    "deleted_code": "os.unlink('main.py')\n1/0",
    "threads": "import threading\n"
    "t = threading.Thread(target=lambda: 1/0)\nt.start(); t.join()\nprint('on')",
    "daemon": "import threading\n"
    "threading.Thread(target=threading.Event().wait, daemon=True).start()\n1/0",
    "frames_seen": "import inspect, traceback\n"
    "traceback.print_stack()\nprint(inspect.stack()[1:])\nprint(sys._getframe(0).f_back)",
    "all_seen": "import sys, os\nprint(sorted(k for k in os.environ if k.startswith('PY')))\n"
    "print(sys.path, sys.flags, sys.argv, sys.meta_path, sorted(sys.path_importer_cache))\n"
    "built_in = 'atexit', 'faulthandler', 'gc', 'itertools'\n"
    "print(sorted(set(sys.modules) - {'sitecustomize', *built_in}))\n"
    "print(sorted(os.listdir('/proc/self/fd')))\n"
    "import faulthandler, gc, signal, subprocess\n"
    "print(faulthandler.is_enabled(), gc.isenabled(), gc.get_threshold(), sys.gettrace())\n"
    "print([signal.getsignal(n) for n in range(1, 32)])\n"
    "sys.stdout.flush()\n"
    "subprocess.run([sys.executable, '-c', 'import sys, os; print(sys.path, os.environ)'])\n",
}
