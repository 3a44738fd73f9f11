def run(c,f): pass
