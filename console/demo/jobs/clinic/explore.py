"""Explore readmission on the view with Spark, and try the model that the gate will train from its description."""

from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import functions as F


def main(job):
    visits = job.table("visits").cache()
    by_department = (
        visits.groupBy("department")
        .agg(F.count("*").alias("visits"), F.avg("readmitted").alias("readmitted"))
        .orderBy(F.desc("visits"))
    )
    for row in by_department.take(5):
        job.log(f"{row.department}: {row.visits} visits in the view, {row.readmitted:.1%} readmitted")
    numbers = visits.select(
        F.col("days").cast("double"), F.col("cost").cast("double"), F.col("readmitted").cast("double")
    )
    rows = VectorAssembler(inputCols=["days", "cost"], outputCol="features").transform(numbers.dropna())
    train, test = rows.randomSplit([0.7, 0.3], seed=1)
    model = LogisticRegression(labelCol="readmitted", maxIter=10).fit(train)
    area = BinaryClassificationEvaluator(labelCol="readmitted").evaluate(model.transform(test))
    job.log(f"logistic regression on the view: AUC {area:.3f}")
