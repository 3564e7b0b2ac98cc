"""Which columns others name for a table: pip install scikit-learn imodels. Each with the choices its users make.

    lasso     L1 logistic regression, its strength by cross-validation: the columns with a weight
    lasso 3   the same, the strongest columns of the path: as many as the rule has (told the number)
    tree      CART pruned by cross-validation, at most 5 deep: the columns it splits on
    RuleFit   imodels, its defaults: the columns in rules or terms with a weight
"""
import warnings

import numpy as np


def lasso(X, y, seed, k):
    from sklearn.linear_model import LogisticRegressionCV
    model = LogisticRegressionCV(Cs=8, cv=4, penalty="l1", solver="liblinear", random_state=seed).fit(X, y)
    return np.flatnonzero(np.abs(model.coef_[0]) > 1e-6)


def lasso_told(X, y, seed, k):
    from sklearn.linear_model import LogisticRegression
    for C in np.geomspace(0.003, 10, 25):                   # the first penalty that leaves k columns
        weights = np.abs(LogisticRegression(C=C, penalty="l1", solver="liblinear", random_state=seed).fit(X, y).coef_[0])
        if (weights > 1e-6).sum() >= k:
            return np.sort(np.argsort(-weights)[:k])
    return np.array([], int)


def tree(X, y, seed, k):
    from sklearn.model_selection import GridSearchCV
    from sklearn.tree import DecisionTreeClassifier
    grid = {"max_depth": [1, 2, 3, 4, 5], "ccp_alpha": [0.0, 0.005, 0.02]}
    best = GridSearchCV(DecisionTreeClassifier(random_state=seed), grid, cv=4).fit(X, y).best_estimator_
    return np.unique(best.tree_.feature[best.tree_.feature >= 0])


def rulefit(X, y, seed, k):
    from imodels import RuleFitClassifier
    names = [f"x{t}_" for t in range(X.shape[1])]
    model = RuleFitClassifier(random_state=seed).fit(X, y, feature_names=names)
    kept = " ".join(str(rule) for rule, weight in zip([*names, *map(str, model.rules_)], model.coef) if abs(weight) > 1e-6)
    return np.array([t for t, name in enumerate(names) if name in kept], int)


def quiet(method):
    def run(X, y, seed, k):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return tuple(method(X, y, seed, k).tolist())
    return run


METHODS = {name: quiet(method) for name, method in {"lasso": lasso, "lasso told k": lasso_told, "tree": tree,
                                                    "RuleFit": rulefit}.items()}
