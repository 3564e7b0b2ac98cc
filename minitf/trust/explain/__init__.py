"""Pages that teach: attention worked by hand, forward and backward, every number shown.

    print(render(explain(T=3, d=2, seed=0)))           one [CLS] query, from bits to a loss
    print(render(explain_attention(T=3, heads=2)))     queries, keys, values, shared key heads
    print(blank("dS", [[..]], attention=True))         what is wrong with an answer, by its mistake
    write_page("page.html")                            both as one live page
"""
from minitf.trust.explain.blank import blank
from minitf.trust.explain.head import explain
from minitf.trust.explain.layout import render
from minitf.trust.explain.page import write_page
from minitf.trust.explain.several import explain_attention

__all__ = ["blank", "explain", "explain_attention", "render", "write_page"]
